# shellcheck shell=bash
# Refuses to start where this cluster's address ranges meet the machine's own
# routes or another running cluster. It only reads; it changes no route.

to_number() {
  local a b c d
  IFS=. read -r a b c d <<<"$1"
  echo $(((a << 24) + (b << 16) + (c << 8) + d))
}

# overlaps CIDR CIDR
overlaps() {
  local length=${1#*/} other=${2#*/} shorter
  shorter=$((length < other ? length : other))
  local shift=$((32 - shorter))
  [[ $(($(to_number "${1%/*}") >> shift)) -eq $(($(to_number "${2%/*}") >> shift)) ]]
}

# The host's own destinations, one CIDR a line; the default route is none.
host_ranges() {
  ip -4 route show table main | awk '
    $1 == "default" { next }
    $1 ~ /^(unreachable|blackhole|prohibit)$/ { $1 = $2 }
    { print ($1 ~ /\//) ? $1 : $1 "/32" }'
  ip -4 -o addr show | awk '{print $4}'
}

check_host_ranges() {
  local theirs
  while read -r theirs; do
    check_pair POOLWRIGHT_POD_RANGE "$pod_range" "$theirs" "this machine's network"
    check_pair POOLWRIGHT_SERVICE_RANGE "$service_range" "$theirs" "this machine's network"
    check_pair POOLWRIGHT_LINK_RANGE "$link_range" "$theirs" "this machine's network"
  done < <(host_ranges | sort -u)
  check_pair POOLWRIGHT_SERVICE_RANGE "$service_range" "$pod_range" POOLWRIGHT_POD_RANGE
  check_pair POOLWRIGHT_LINK_RANGE "$link_range" "$pod_range" POOLWRIGHT_POD_RANGE
  check_pair POOLWRIGHT_LINK_RANGE "$link_range" "$service_range" POOLWRIGHT_SERVICE_RANGE
}

# check_pair VARIABLE OURS THEIRS WHOSE
check_pair() {
  ! overlaps "$2" "$3" || fail "$1=$2 overlaps $3 of $4" "set $1 to a free range, such as 10.200.0.0/${2#*/}"
}

# Other clusters leave a line in $runtime while they are up:
# state pod_range service_range link_range.
check_other_clusters() {
  local entry other_state other_pods other_services other_link other
  for entry in "$runtime"/*; do
    other=${entry##*/}
    [[ -f $entry && $other != "$name" ]] || continue
    read -r other_state other_pods other_services other_link <"$entry"
    any_alive "$other_state" || continue
    if overlaps "$pod_range" "$other_pods" || overlaps "$service_range" "$other_services" ||
      overlaps "$link_range" "$other_link"; then
      fail "the cluster '$other' is running (state: $other_state) and uses the same address ranges" \
        "end it: POOLWRIGHT_STATE=$other_state $here/cluster.sh --name $other down" \
        "or set POOLWRIGHT_POD_RANGE, POOLWRIGHT_SERVICE_RANGE and POOLWRIGHT_LINK_RANGE for this one"
    fi
  done
}

register_cluster() {
  mkdir -p "$runtime"
  echo "$state $pod_range $service_range $link_range" >"$runtime/$name"
}

unregister_cluster() {
  rm -f "$runtime/$name"
  rmdir "$runtime" 2>/dev/null || true
}
