#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fetch.sh DIR puts prometheus and promtool of a Debian package into DIR. It needs apt and dpkg, and no root: where the
# machine's own lists do not have the package, it keeps lists of its own for as long as it runs. The checksum decides
# what is accepted, so that it does not matter who answers.
set -eu
release=bookworm
version=2.42.0+ds-5+b6
sum=3b0e0255b059a7696bd4a139a4a4eb24d71df067936a61ece5093559cbc7991c

dir=$(cd "$1" && pwd)
fail() {
	echo "cannot fetch Prometheus: $1; put prometheus and promtool, 2.42 or later, into $dir yourself" >&2
	exit 1
}
[ "$(uname -sm)" = "Linux x86_64" ] || fail "the checksum here is that of Linux on amd64"
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "there is no apt-get or no dpkg-deb"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if ! apt-get download "prometheus:amd64=$version" >log 2>&1; then
	mkdir -p lists/partial cache/archives/partial
	echo "deb [arch=amd64 trusted=yes] http://deb.debian.org/debian $release main" >sources.list
	own="-o Dir::Etc::SourceList=$work/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$work/lists
		-o Dir::Cache=$work/cache -o APT::Architecture=amd64 -o APT::Sandbox::User= -o Acquire::Languages=none"
	# shellcheck disable=SC2086
	{ apt-get $own update && apt-get $own download "prometheus:amd64=$version"; } >>log 2>&1 || { cat log >&2; fail "Debian's $version was not found"; }
fi
set -- prometheus_*.deb
echo "$sum  $1" | sha256sum -c --quiet - || fail "the package is not the one that is pinned"
dpkg-deb -x "$1" content
# All at once, so that what is interrupted is fetched again.
mv content/usr/bin/promtool "$dir/promtool"
mv content/usr/bin/prometheus "$dir/prometheus"
touch "$dir/promtool" "$dir/prometheus"
