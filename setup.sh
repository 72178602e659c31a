#!/bin/sh
# SPDX-License-Identifier: MIT
#
#	./setup.sh build|check|bench|demo
#
# Installs what is missing for that purpose on Debian 12 and its relatives, after
# saying what. Does and prints nothing when all is there. On other systems it says
# what is needed, and goes on. No service is started or left to be started.
set -eu

purpose=${1:-build}

build="gcc libc6-dev make libelf-dev libdw-dev libunwind-dev libzydis-dev libjansson-dev
	libiberty-dev liblzma-dev zlib1g-dev"
# The tests' targets, the compilers and the readers that the results are checked with.
check="$build g++ check clang clang-format libclang-rt-14-dev binutils gdb strace elfutils xz-utils
	musl-tools libjemalloc-dev libtcmalloc-minimal4 libmimalloc2.0 redis-server redis-tools
	nginx-light sqlite3 python3 python3-jsonschema nodejs mandoc procps util-linux"
bench="$check heaptrack valgrind"
demo="$build procps"

# Those of the packages above that bring a service along.
services="redis-server nginx"

case $purpose in
build) packages=$build ;;
check) packages=$check ;;
bench) packages=$bench ;;
demo) packages=$demo ;;
*)
	echo "usage: $0 build|check|bench|demo" >&2
	exit 2
	;;
esac

say() {
	echo "setup.sh: $*" >&2
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	say "this is no Debian: please see to it yourself that there is, under your system's names:"
	say "$(echo $packages)"
	exit 0
fi

installed() {
	case $1 in
	# Some take it from elsewhere, under other names.
	nodejs) command -v node >/dev/null && return 0 ;;
	esac
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=
for package in $packages; do
	installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		say "not root, and no sudo here. As root, please: apt-get install$missing"
		exit 1
	fi
	as_root=sudo
fi

# Debian starts a service as soon as it is installed, unless this file forbids it. One that
# is there already is somebody's own, and stays.
policy=/usr/sbin/policy-rc.d
made_policy=

undo() {
	[ -z "$made_policy" ] || $as_root rm -f "$policy"
	made_policy=
}
trap undo EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

forbid_services() {
	[ -e "$policy" ] && return 0
	made_policy=yes
	printf '#!/bin/sh\n# made by setup.sh of memattach, which removes it\nexit 101\n' |
		$as_root tee "$policy" >/dev/null
	$as_root chmod 755 "$policy"
}

apt() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 \
		-o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}

# A service that came just now is not to start at the next boot either, under systemd or not.
disable_new_services() {
	for service in $services; do
		case "$missing " in
		*" $service "* | *" $service-light "*) ;;
		*) continue ;;
		esac
		$as_root deb-systemd-helper disable "$service.service" >/dev/null 2>&1 || true
		$as_root update-rc.d "$service" disable >/dev/null 2>&1 || true
	done
}

say "for \"$purpose\" these packages are missing and will be installed:$missing"
forbid_services
apt update || say "apt-get update failed: going on with the lists that are there"
if ! apt install --no-install-recommends $missing; then
	say "the installation failed, see above. By hand: apt-get install$missing"
	exit 1
fi
disable_new_services
