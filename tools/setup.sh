#!/bin/sh
# Makes a Debian 12 machine ready for Umiak: apt packages, npm packages, .bin/. Installs only what is missing, so that a second
# call takes well under a second. Touches no kernel state: mounts, modules and sysctls are `umiak up`'s business.
set -eu
cd "$(dirname "$0")/.."
export DEBIAN_FRONTEND=noninteractive

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# again N COMMAND…: up to N tries, waiting a little longer each time (registries and dpkg's lock have bad minutes).
again() {
  tries=$1; shift
  try=1
  until "$@"; do
    [ "$try" -lt "$tries" ] || return 1
    say "'$*' failed, trying again ($try of $tries)"
    sleep $((try * 3))
    try=$((try + 1))
  done
}

apt() { apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o APT::Update::Error-Mode=any "$@" >&2; }

# The packages named that dpkg doesn't know as installed. It also lists "deinstall" and half-installed ones, hence the status.
missing() {
  installed=" $(dpkg-query -W -f='${Package}:${db:Status-Status} ' "$@" 2>/dev/null || true) "
  for package in "$@"; do
    case $installed in *" $package:installed "*) ;; *) printf '%s ' "$package" ;; esac
  done
}

install_packages() {
  [ $# -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || fail "these Debian packages are missing, and only root can install them: $*"
  command -v apt-get >/dev/null || fail "needs apt-get to install: $*"
  say "installing $*"
  again 5 apt update || fail 'apt-get update failed; is a Debian mirror in reach?'
  # Services that packages would start (docker-registry) are none of ours: policy-rc.d says no for the time of this call.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
  else policy=; fi
  again 3 apt install -y --no-install-recommends "$@" || fail "apt-get install failed: $*"
  [ -z "$policy" ] || rm -f $policy
  # Nor may they start at the next boot, on a port that may be ours.
  case " $* " in *' docker-registry '*) ! command -v systemctl >/dev/null || systemctl disable -q docker-registry >&2 || true ;; esac
}

mkdir -p .bin .cache
exec 9>.cache/setup.lock
flock 9 # two calls at once, of `make run` and `make test`, take turns

case $(uname -m) in
  x86_64) arch=x64 ;;
  aarch64) arch=arm64 ;;
  *) fail "no Node build for $(uname -m): x86_64 and aarch64 are supported" ;;
esac

# shellcheck disable=SC2046 # a list of words is wanted
install_packages $(missing $(sed '/^[#[]/d' tools/packages.txt))

stamp=node_modules/.umiak-setup
want=$(sha256sum package-lock.json)
if [ "$(cat $stamp 2>/dev/null)" != "$want" ]; then
  # shellcheck disable=SC2046
  command -v npm >/dev/null || install_packages $(missing nodejs npm)
  say 'installing npm packages'
  again 4 npm ci --loglevel=error --fetch-retries=5 --fetch-timeout=120000 >&2 || fail 'npm ci failed; is an npm registry in reach?'
fi

ln -sfn "../node_modules/node-linux-$arch/bin/node" .bin/node
ln -sfn "../node_modules/@biomejs/cli-linux-$arch/biome" .bin/biome
if [ ! -x .bin/kubectl ] || [ ! -x .bin/helm ] || [ "$(cat $stamp 2>/dev/null)" != "$want" ]; then
  .bin/node tools/unpack-clients.ts >&2
  printf '%s\n' "$want" >$stamp
fi
