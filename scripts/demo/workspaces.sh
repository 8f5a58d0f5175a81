# shellcheck shell=bash
# The demo's tenants: twenty workspaces, each a role with a schema of its own,
# ten in each of two logical databases, as accounts, SQL and Kubernetes objects.

databases=(cloud_01 cloud_02)
workspaces=20

# write_accounts FILE — lines "user password database", as poolwright-load reads.
write_accounts() {
  local number half=$((workspaces / ${#databases[@]}))
  for ((number = 1; number <= workspaces; number++)); do
    printf 'ws_%03d %s %s\n' "$number" "$(openssl rand -hex 12)" "${databases[(number - 1) / half]}"
  done >"$1"
}

# roles_sql ACCOUNTS — the roles and the databases, as superuser.
roles_sql() {
  local user password database
  for database in "${databases[@]}"; do
    echo "CREATE DATABASE $database; REVOKE ALL ON DATABASE $database FROM PUBLIC;"
  done
  while read -r user password database; do
    echo "CREATE ROLE $user LOGIN PASSWORD '$password'; GRANT CONNECT, TEMPORARY ON DATABASE $database TO $user;"
  done <"$1"
}

# schemas_sql ACCOUNTS DATABASE — a schema and a table for each workspace in it.
schemas_sql() {
  local user database
  while read -r user _ database; do
    [[ $database == "$2" ]] || continue
    cat <<SQL
CREATE SCHEMA $user AUTHORIZATION $user;
SET ROLE $user;
CREATE TABLE $user.channels (id int PRIMARY KEY, posts bigint NOT NULL DEFAULT 0);
INSERT INTO $user.channels SELECT generate_series(1, 100);
RESET ROLE;
SQL
  done <"$1"
}

# users_secret ACCOUNTS NAME — every workspace and its password.
users_secret() {
  local user password
  printf 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\nstringData:\n' "$2"
  while read -r user password _; do printf '  %s: "%s"\n' "$user" "$password"; done <"$1"
}
