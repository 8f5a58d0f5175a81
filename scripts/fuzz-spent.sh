# shellcheck shell=bash
# What fuzzing has cost so far: a line in the cache for each turn, with the code that was fuzzed, so
# that several runs add up, and in fuzz/spent what turns on other machines have cost. An hour of each
# target is wanted of the code as it is.
# shellcheck disable=SC2154 # root, corpora and targets are fuzz.sh's

wanted=3600
# Lines as in the cache, one for each target, code and how.
recorded=$root/fuzz/spent

# The code that a target runs through, without lines of comment, as a short hash.
code_of() {
  local places=(core/wire/src)
  case $1 in
    backend | session) places+=(core/session/src) ;;
    settings) places=(core/settings/src core/budget/src) ;;
  esac
  (cd "$root" && find "${places[@]}" "fuzz/bodies/src/$1.rs" -name '*.rs' ! -path '*/tests*' -print0 |
    sort -z | xargs -0 cat | sed '/^ *\/\//d' | sha256sum | cut -c1-12)
}

# Sets `cpu` to the seconds of CPU of all processes that this shell has waited for. Not in a subshell,
# which has waited for none.
read_cpu() {
  local file
  file=$(mktemp)
  times >"$file"
  cpu=$(awk 'NR == 2 {for (i = 1; i <= 2; i++) {split($i, t, /[ms]/); sum += 60 * t[1] + t[2]}; printf "%d\n", sum}' "$file")
  rm "$file"
}

# Has what is spent from now on count for the code as it is, which was just built.
declare -A built_of=()
note_code() {
  local target
  for target in "${targets[@]}"; do built_of[$target]=$(code_of "$target"); done
}

# begin_turn TARGET HOW
begin_turn() {
  turn_of="$1 ${built_of[$1]} $2"
  read_cpu
  before=$cpu
}

# end_turn STATUS
end_turn() {
  read_cpu
  echo "$(date --utc +%FT%TZ) $turn_of $((cpu - before)) $(($1 != 0))" >>"$corpora/spent"
}

# Moves what the turns of this machine have cost to fuzz/spent, where it adds up; what was spent on
# code that is gone goes.
record_spent() {
  local target codes
  codes=$(for target in "${targets[@]}"; do echo "$target $(code_of "$target")"; done)
  all_spent | awk '
    NR == FNR {now[$1] = $2; next}
    now[$2] == $3 {key = $2 " " $3 " " $4; spent[key] += $5; found[key] += $6; when[key] = $1}
    END {for (key in spent) print when[key], key, spent[key], found[key]}' <(echo "$codes") - |
    sort -k 2 >"$recorded.new"
  mv "$recorded.new" "$recorded"
  rm -f "$corpora/spent"
}

all_spent() { cat "$recorded" "$corpora/spent" 2>/dev/null || true; }

# CPU seconds of each target: of all turns, of those with the code as it is now, of these under
# libFuzzer; and how often it found something.
print_spent() {
  local target
  printf '%-10s %10s %16s %14s %8s\n' target 'CPU s, all' 'with this code' 'by libFuzzer' found
  for target in "${targets[@]}"; do
    awk -v target="$target" -v code="$(code_of "$target")" -v wanted="$wanted" '
      $2 == target {
        all += $5
        if ($3 == code) { now += $5; if ($4 == "libfuzzer") covered += $5; found += $6 }
      }
      END {
        printf "%-10s %10d %16d %14d %8d%s\n", target, all, now, covered, found, now < wanted ? "   of " wanted " wanted" : ""
      }' <(all_spent)
  done
}
