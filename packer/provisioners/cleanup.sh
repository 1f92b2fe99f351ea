#!/usr/bin/env bash
# Removes the builder's identity and traces; validate.sh refuses each of them.
set -euo pipefail

# Docker: a cloned engine id makes two daemons one; stopped, so that it does not write it again.
systemctl stop docker.socket docker.service containerd.service
rm -f /var/lib/docker/engine-id /etc/docker/key.json /root/.docker/config.json

# Keys and logins. The connection that Packer has open outlives them.
rm -f /etc/ssh/ssh_host_*
find /root /home -path '*/.ssh/authorized_keys' -delete
find /root /home -maxdepth 2 \( -name '.*_history' -o -name .lesshst -o -name .wget-hsts \) -delete

# cloud-init must take the clone for a new instance.
cloud-init clean --logs
rm -rf /var/lib/cloud/*

# The random seed is saved when its service stops: stop it first, so that shutdown does not.
systemctl stop systemd-random-seed.service 2>/dev/null || true
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credentials.secret

# Packages' leftovers.
apt-get clean
rm -rf /var/lib/apt/lists/*

# Logs; the journal goes to memory from here on, so that the shutdown leaves none.
mkdir -p /run/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\n' >/run/systemd/journald.conf.d/bake.conf
systemctl restart systemd-journald.service
rm -rf /var/log/journal/*
find /var/log -type f -exec truncate --size 0 {} +
find /tmp /var/tmp -mindepth 1 -maxdepth 1 ! -name bullion ! -name 'script_*' ! -name 'systemd-private-*' \
  -exec rm -rf {} + 2>/dev/null || true

# Names last: what ran before may look at them. Our own status is below /run and goes by itself.
echo localhost >/etc/hostname
rm -f /var/lib/dbus/machine-id
: >/etc/machine-id
sync
