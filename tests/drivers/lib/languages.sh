# shellcheck shell=bash
# What the programs are written in: brings each language's packages once, pinned by
# the lock files beside drivers.sh, into the cache by the content of those files; and
# knows how a program is run. A driver is the folder that has one of these programs.
# shellcheck disable=SC2154,SC2034 # here is drivers.sh's, and so is command

kept=$POOLWRIGHT_CACHE/drivers

language_of() {
  local language
  for language in check.sh check.py check.cjs check.php check.rb main.go Check.java Cargo.toml; do
    [[ ! -f $here/$1/$language ]] || { echo "$language" && return; }
  done
  fail "tests/drivers/$1 has no program"
}

# kept_as NAME FILE… — the folder for what these files pin.
kept_as() {
  local name=$1
  shift
  echo "$kept/$name-$(cd "$here" && { cat "$@" && uname -m; } | sha256sum | cut -c1-16)"
}

python_home() { kept_as python requirements.txt; }
node_home() { kept_as node package.json package-lock.json; }
java_home() { kept_as java pom.xml; }

bring_languages() {
  local name languages=()
  mkdir -p "$kept"
  for name in "$@"; do languages+=("$(language_of "$name")"); done
  mapfile -t languages < <(printf '%s\n' "${languages[@]}" | sort -u)
  for name in "${languages[@]}"; do
    case $name in
      check.py) bring_python ;;
      check.cjs) bring_node ;;
      check.php) bring_php ;;
      check.rb) bring_ruby ;;
      main.go) step drivers-go bring_go ;;
      Check.java) bring_java ;;
      Cargo.toml) step drivers-rust bring_rust ;;
    esac
  done
}

# need_package PACKAGE WITNESS… — with apt, unless the witness runs.
need_package() {
  local package=$1
  shift
  "$@" >/dev/null 2>&1 && return
  [[ $EUID -eq 0 ]] || fail "missing: $package" "install it: sudo apt-get install $package"
  step "apt-$package" install_packages "$package"
}

# once LANGUAGE PLACE COMMAND — unless the folder PLACE is there, COMMAND makes it.
once() { [[ -d $2 ]] || step "drivers-$1" whole "$2" "$3"; }

# Whole or not at all: made beside its place and renamed.
whole() {
  local place=$1 draft=$1.draft
  rm -rf "$draft" && mkdir -p "$draft" && "$2" "$draft" && mv "$draft" "$place"
}

# Into a folder and not a virtual environment, which could not be renamed.
install_python() {
  python3 -m pip install --disable-pip-version-check --no-deps --only-binary :all: \
    --requirement "$here/requirements.txt" --target "$1"
}
bring_python() {
  need_package python3-pip python3 -m pip --version
  once python "$(python_home)" install_python
}

install_node() { cp "$here/package.json" "$here/package-lock.json" "$1" && npm ci --silent --ignore-scripts --prefix "$1"; }
bring_node() {
  need_package nodejs node --version
  need_package npm npm --version
  once node "$(node_home)" install_node
}

# PHP's and Ruby's packages are Debian's, and so not pinned.
bring_php() {
  need_package php-cli php --version
  need_package php-pgsql php -r 'new ReflectionExtension("pdo_pgsql");'
}

bring_ruby() {
  need_package ruby ruby --version
  need_package ruby-activerecord ruby -e 'require "active_record"'
  need_package ruby-pg ruby -e 'require "pg"'
}

bring_go() {
  local program
  for program in "$here"/*/main.go; do
    (cd "$here" && go build -trimpath -buildvcs=false -o "$kept/go/" "./$(basename "$(dirname "$program")")") || return
  done
}

bring_rust() { cargo build --locked --manifest-path "$here/Cargo.toml" --target-dir "$kept/rust"; }

install_java() {
  mvn --batch-mode --quiet --file "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$1"
}
bring_java() {
  need_package default-jdk-headless javac -version
  need_package maven mvn --version
  once java "$(java_home)" install_java
}

# command_of NAME — sets `command`, how its program is run.
command_of() {
  local folder=$here/$1
  case $(language_of "$1") in
    check.sh) command=("$folder/check.sh") ;;
    check.py) command=(env "PYTHONPATH=$(python_home):$here/lib" PYTHONDONTWRITEBYTECODE=1 python3 -W error::DeprecationWarning -u "$folder/check.py") ;;
    check.cjs) command=(env "NODE_PATH=$(node_home)/node_modules:$here/lib" node "$folder/check.cjs") ;;
    check.php) command=(php "$folder/check.php") ;;
    check.rb) command=(ruby "$folder/check.rb") ;;
    main.go) command=("$kept/go/$1") ;;
    Cargo.toml) command=("$kept/rust/debug/$1") ;;
    Check.java) command=(java -cp "$(java_home)/*" "$folder/Check.java") ;;
  esac
}
