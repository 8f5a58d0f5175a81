# shellcheck shell=bash
# shellcheck disable=SC2154 # demo.sh, which sources this, sets the variables
# What the demo says at its end: what was served, what was held against the
# budget, what went wrong, and how to look around. Every figure comes from the
# programs' own reports in the demo's folder.

# field NAME PATH — of the report NAME.json.
field() { jq -r "$2 // 0" "$state/demo/$1.json" 2>/dev/null || echo "?"; }

# judge_reports — appends to problems what the reports say went wrong.
judge_reports() {
  local peak refused_by_postgres
  peak=$(field sampler .total)
  [[ $peak =~ ^[0-9]+$ && $peak -gt 0 && $peak -le $budget ]] || problems+=("server connections: $peak of $budget")
  [[ $(field clients '.transactions') -gt 0 ]] || problems+=("pgbench did no transaction")
  [[ $(field load .transactions) -gt 0 ]] || problems+=("the load did no transaction")
  [[ $(field load '.refused + .cut + .wrong + .failed') == 0 ]] ||
    problems+=("load: $(field load '.reasons | tojson')")
  [[ $(cut_requests) == 0 ]] || problems+=("requests cut by a pooler: $(cut_requests)")
  refused_by_postgres=$(grep -c ' 53300 ' "$state/postgres/log" || true)
  [[ $refused_by_postgres == 0 ]] || problems+=("PostgreSQL refused $refused_by_postgres connections (53300)")
}

# cut_requests — the largest count that each pod, gone or not, had reported.
cut_requests() { sort -u "$state/demo/cut" 2>/dev/null | awk '$2 > n[$1] { n[$1] = $2 } END { for (p in n) sum += n[p]; print sum + 0 }'; }

print_report() {
  echo
  echo "\$ kubectl get pwc"
  ours get pwc || true
  echo
  ours get pods || true
  cat <<REPORT

clients               $(field clients .clients) pgbench, a third each simple, extended, prepared, through the Service
transactions          $(field clients .transactions) by pgbench, $(field load .transactions) during the roll and the scale
server connections    at most $(field sampler .total) of $budget, in $(field sampler .samples) samples of pg_stat_activity
                      by database: $(field sampler '.byDatabase | tojson')
errors                pgbench $(field clients '.failed + .errors'); load: refused $(field load .refused), cut $(field load .cut), foreign rows $(field load .wrong), other $(field load .failed)
cut by a pooler       $(cut_requests) requests of which a byte had been forwarded
reconnects            $(field load .reconnects), asked for by pods that were on their way out

REPORT
}

print_hints() {
  local user password database
  read -r user password database <"$accounts"
  cat <<HINTS
look around:
  enter its network     $cluster/cluster.sh --name demo exec -- bash
  then, for example     kubectl -n $namespace get pwc,pods,svc
                        kubectl -n $namespace describe pwc workspaces
                        PGPASSWORD=$password psql -h workspaces.$namespace -U $user $database
                        curl -s workspaces-0.workspaces-pods.$namespace:9187/metrics
  PostgreSQL itself     $here/postgres.sh psql $state/postgres
  remove all of it      make demo-down

HINTS
}
