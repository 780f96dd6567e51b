#!/bin/bash
# Runs c10k on Debian 13 (Python 3.13, its own Docker engine, BuildKit) from a host of another
# release, as root: `docker compose up` of two servers, then `make bench` of the same.
#
#   bench/debian13.sh [DIRECTORY]     default: build/debian13
#
# Debian 13 is a tree below DIRECTORY, made by debootstrap once. Its programs run with the kernel of
# this host, in namespaces of their own: mounts, network (slirp4netns connects it) and processes.
# Nothing of this host changes, and all processes end with the script.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

directory=$(mkdir -p "${1:-build/debian13}" && cd "${1:-build/debian13}" && pwd)
system=$directory/system
packages=(
    ca-certificates docker-buildx docker-cli docker-compose docker.io g++ git iproute2 iptables make
    procps python3 python3-dev python3-venv strace
)
export LC_ALL=C.UTF-8

say() { printf '\n== %s\n' "$*"; }

for tool in debootstrap slirp4netns unshare; do
    command -v "$tool" >/dev/null || { echo "not found: $tool (apt-get install $tool)" && exit 3; }
done

# A minimal system that trusts the certificate authorities of this host
bootstrap() {
    local root=$1
    [[ -e $root/bootstrapped ]] && return
    rm -rf "$root"
    debootstrap --variant=minbase --include=ca-certificates trixie "$root"
    mkdir -p "$root/usr/local/share/ca-certificates"
    find /usr/local/share/ca-certificates -name '*.crt' \
        -exec cp -t "$root/usr/local/share/ca-certificates" {} +
    chroot "$root" update-ca-certificates
    # What Debian leaves out of its slim images, too
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
        "$root"/usr/share/{doc,groff,info,linda,lintian,locale,man}
    touch "$root/bootstrapped"
}

# The packages are fetched through the network of this host
install_packages() {
    [[ -e $system/packages ]] && return
    cp /etc/resolv.conf "$system/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"$system/usr/sbin/policy-rc.d" # start no service
    chmod +x "$system/usr/sbin/policy-rc.d"
    chroot "$system" sh -c "apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes -qq -o Dpkg::Use-Pty=0 --no-install-recommends ${packages[*]}"
    touch "$system/packages"
}

say 'Debian 13, and its base image'
bootstrap "$directory/base"
[[ -e $system/bootstrapped ]] || cp -a "$directory/base/." "$system"
install_packages
[[ -e $system/base.tar ]] || tar -C "$directory/base" -cf "$system/base.tar" .

rm -rf "$system/root/c10k"
mkdir -p "$system/root/c10k"
git ls-files -z --cached --others --exclude-standard |
    xargs --null cp --no-dereference --parents --target-directory "$system/root/c10k"
[[ -e /etc/pip.conf ]] && cp /etc/pip.conf "$system/etc/pip.conf"
echo 'nameserver 10.0.2.3' >"$system/etc/resolv.conf" # slirp4netns answers there

cat >"$system/root/inside" <<'INSIDE'
#!/bin/bash
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt CI=true
export C10K_BASE=debian:trixie-slim C10K_PROFILE=smoke C10K_SERVERS=poll,epoll-lt
say() { printf '\n== %s\n' "$*"; }
cd /root/c10k

rm -f /run/docker.pid
dockerd >/root/dockerd.log 2>&1 &
for _ in {1..60}; do
    docker version --format '{{.Server.Version}}' 2>/dev/null && break
    sleep 1
done
say "Python $(python3 -V), Docker $(docker version --format '{{.Server.Version}}')," \
    "Compose $(docker compose version --short), $(docker buildx version)"
docker image inspect "$C10K_BASE" >/dev/null 2>&1 || docker import /base.tar "$C10K_BASE"

say 'docker compose up'
# BuildKit prints every line of the log of a build; the classic builder is not used
COMPOSE_BAKE=false docker compose --ansi never --progress plain up --exit-code-from harness
# Its Compose clears each line first
docker compose logs --no-log-prefix harness | sed 's/\x1b\[2K//g' >/root/harness.log
docker compose down
if grep -n 'Traceback\|Exception ignored' /root/harness.log; then exit 1; fi
python3 .ci/check_campaign.py . --log /root/harness.log --only poll,epoll-lt

say 'make bench'
rm -rf reports/*
make --no-print-directory bench PROFILE=smoke SERVERS=poll,epoll-lt >/root/bench.log 2>&1 ||
    { tail -n 40 /root/bench.log && exit 1; }
tail -n 15 /root/bench.log
if grep -n 'Traceback\|Exception ignored' /root/bench.log; then exit 1; fi
python3 .ci/check_campaign.py . --log /root/bench.log --only poll,epoll-lt

say 'all ran'
INSIDE
chmod +x "$system/root/inside"

# The tree is bound to itself: a container engine needs a mount point as its root. What starts it
# all waits until slirp4netns has connected its network.
export system
mkfifo "$directory/connected.$$"
trap 'rm -f "$directory/connected.$$"' EXIT
# shellcheck disable=SC2016 # the inner shell expands these
connected=$directory/connected.$$ unshare --mount --net --pid --fork --kill-child \
    --propagation private bash -c '
    set -euo pipefail
    mount --bind "$system" "$system"
    mount -t proc proc "$system/proc"
    mount --rbind /sys "$system/sys"
    mount --rbind /dev "$system/dev"
    mount -t tmpfs tmpfs "$system/run"
    mkdir "$system/run/lock"
    mount -t tmpfs tmpfs "$system/tmp"
    ip link set lo up
    read -r _ <"$connected"
    exec env -i LC_ALL=C.UTF-8 PATH="$PATH" chroot "$system" /root/inside
' &
namespaces=$!
child=''
for _ in {1..100}; do
    child=$(cat "/proc/$namespaces/task/$namespaces/children" 2>/dev/null || true)
    [[ -n $child ]] && break
    sleep 0.1
done
slirp4netns --configure --mtu=65520 --disable-host-loopback "${child% }" tap0 \
    >"$directory/net.log" 2>&1 &
network=$!
sleep 1
echo >"$directory/connected.$$"
code=0
wait "$namespaces" || code=$?
kill "$network" 2>/dev/null || true
exit "$code"
