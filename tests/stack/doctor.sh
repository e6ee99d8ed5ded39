#!/usr/bin/env bash
# ./dev doctor: what is missing or unhealthy, each with its mend. Changes nothing.
set -u
cd "$(dirname "$(readlink -f "$0")")/../.." || exit
problems=0
good() { printf '  ok    %s\n' "$1"; }
bad() {
  printf '  BAD   %s\n        mend: %s\n' "$1" "$2"
  problems=$((problems + 1))
}

echo "This machine"
. /etc/os-release
if [ "${VERSION_ID:-}" = 12 ] && [ "${ID:-}" = debian ]; then good "Debian 12"; else bad "${PRETTY_NAME:-unknown system}" "use Debian 12; others are not tested"; fi
free_kib=$(df --output=avail -k . | tail -n 1)
if [ "$free_kib" -gt 5000000 ]; then good "$((free_kib / 1048576)) GiB free here"; else bad "less than 5 GB free here" "make room; a build takes about 3 GB"; fi
memory_kib=$(awk '/MemAvailable/ { print $2 }' /proc/meminfo)
if [ "$memory_kib" -gt 3000000 ]; then good "$((memory_kib / 1048576)) GiB of memory to be had"; else bad "less than 3 GB of memory to be had" "end other programs; the compiler needs it"; fi

echo "Debian packages"
for stage in build package run test lint; do
  missing=
  for package in $(awk -v stage="$stage" '$1 == stage { for (i = 2; i <= NF; i++) print $i }' packaging/debian-packages); do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
  done
  if [ -z "$missing" ]; then good "$stage"; else bad "$stage lacks:$missing" "./dev install $stage"; fi
done
if [ -x /usr/bin/bazel ] || command -v bazel >/dev/null; then good "$(command -v bazel)"; else bad "no bazel" "./dev install build"; fi
if [ -e /var/cache/cracklib/cracklib_dict.pwd ]; then good "cracklib dictionary"; else bad "cracklib has no dictionary" "apt-get install --reinstall cracklib-runtime"; fi

echo "Servers of ./dev up"
if [ ! -d .run/pid ]; then
  echo "  none started; ./dev up starts them"
else
  for file in .run/pid/*; do
    [ -e "$file" ] || continue
    name=$(basename "$file")
    read -r pid started <"$file"
    now=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | awk '{ print $20 }')
    if [ "$now" = "$started" ]; then good "$name runs as process $pid"; else bad "$name is not running" "./dev up; its log: .run/log/$name.log"; fi
  done
  if [ -x .run/provctl ]; then
    if .run/provctl status; then good "provd answers"; else bad "provctl status failed" "see .run/log/provd.log"; fi
  fi
fi
[ "$problems" = 0 ] && echo "All is well." || echo "$problems to mend."
[ "$problems" = 0 ]
