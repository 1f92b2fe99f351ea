#!/usr/bin/env bash
# Refuses an AMI that carries the builder's identity or traces.
# usage: validate.sh [ROOT]; ROOT is for tests, which dirty a tree and want to see it refused.
set -euo pipefail
root=${1:-}
leaks=()

# absent WHAT PATTERN…  no file may match
absent() {
  local what=$1 pattern found
  shift
  for pattern in "$@"; do
    for found in "$root"$pattern; do
      [ ! -e "$found" ] || leaks+=("$what: ${found#"$root"}")
    done
  done
}
# empty WHAT FILE  may be there, must hold nothing
empty() { [ ! -s "$root$2" ] || leaks+=("$1: $2 is not empty"); }

shopt -s nullglob dotglob
absent "ssh host key" '/etc/ssh/ssh_host_*'
absent "authorized key" '/root/.ssh/authorized_keys' '/home/*/.ssh/authorized_keys'
empty "machine id" /etc/machine-id
absent "machine id" /var/lib/dbus/machine-id
absent "cloud-init state" '/var/lib/cloud/*'
absent "random seed" /var/lib/systemd/random-seed
absent "credential secret" /var/lib/systemd/credentials.secret
absent "shell history" '/root/.*_history' '/home/*/.*_history'
absent "apt lists" '/var/lib/apt/lists/*'
absent "Docker engine id" /var/lib/docker/engine-id /etc/docker/key.json
absent "registry login" /root/.docker/config.json '/home/*/.docker/config.json'
absent "container" '/var/lib/docker/containers/*'
absent "stack data" '/var/lib/docker/volumes/*/_data' '/var/lib/bullion/data/*'
absent "Kafka storage" '/var/lib/docker/volumes/*/_data/meta.properties'
absent "journal" '/var/log/journal/*'
absent "AWS credentials" '/root/.aws' '/home/*/.aws'
if [ "$(cat "$root/etc/hostname" 2>/dev/null || echo localhost)" != localhost ]; then
  leaks+=("builder's name: /etc/hostname")
fi
while IFS= read -r log; do
  leaks+=("log: ${log#"$root"}")
done < <(find "$root/var/log" -type f -size +0 ! -name lastlog ! -name 'wtmp*' 2>/dev/null)

if [ ${#leaks[@]} -gt 0 ]; then
  printf 'must not be in an AMI: %s\n' "${leaks[@]}" >&2
  exit 1
fi
