# What the scripts beside this folder share: where things are, and how a missing tool is installed.
# It is sourced, after `set -euo pipefail`; it must start nothing and change nothing by itself.
# shellcheck shell=bash disable=SC2034 # Its variables are used where it is sourced.

repo=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
: "${HOME:=~}" # A bare container may leave it out, and the paths below need it.

# Cargo takes a relative CARGO_TARGET_DIR from where it runs; the scripts run it in the repository.
target=${CARGO_TARGET_DIR:-target}
[[ $target == /* ]] || target=$repo/$target
cache=${XDG_CACHE_HOME:-$HOME/.cache}/meltd

# Cargo's own folder is often missing from the PATH of a script, and /usr/sbin from that of a user.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin:/usr/sbin:/sbin

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
  say "$@"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# The usage text of a script is the comment at its head, so the two cannot drift apart.
usage() { sed -n '2,/^[^#]/ { s/^# \{0,1\}//p }' "$0"; }

# The package lists are fetched only if they turn out to be missing or old.
apt_install() { # <package>...
  local as_root=() apt output
  have apt-get || die "needs $*, and there is no apt-get here: install the same with your package" \
    "manager, then run this again"
  if ((EUID != 0)); then
    have sudo || die "needs $*, and this user may not install: as root, run apt-get install $*"
    as_root=(sudo)
  fi
  say "installing $*"
  apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120)
  if ! "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null 2>&1; then
    output=$("${apt[@]}" update 2>&1 &&
      "${apt[@]}" install -y --no-install-recommends "$@" 2>&1) ||
      die "could not install $*: check the network and the rights, then run" \
        "\"apt-get install $*\" by hand. The last lines were:"$'\n'"$(tail -n 8 <<<"$output")"
  fi
}

# Installs the packages if the command is missing.
need() { # <command> <package>...
  have "$1" || apt_install "${@:2}"
  have "$1" || die "$1 is still missing after installing ${*:2}: install it by hand"
}

# What cargo cannot bring along: a C compiler for the bundled SQLite, protoc for the embedded mint.
need_build_tools() {
  need cc gcc libc6-dev
  need protoc protobuf-compiler libprotobuf-dev
}

need_cargo() {
  have cargo || die "needs Rust, and cargo is neither on PATH nor in ~/.cargo/bin: install rustup"
}

# A python3 put first on PATH by a version manager may lack the pip that Debian's own has.
python_with_pip() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -m pip --version >/dev/null 2>&1; then
      echo "$python"
      return
    fi
  done
  return 1
}

# Leaves a Python that can install packages in $python.
need_pip() {
  need python3 python3 python3-pip
  python=$(python_with_pip) || { apt_install python3-pip && python=$(python_with_pip); } ||
    die "python3 has no pip even after installing python3-pip: install it by hand"
}
