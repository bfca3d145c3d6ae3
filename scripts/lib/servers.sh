# Handles the process of one server at a time: finds, starts, asks and stops it. The verbs that use
# this are in scripts/services. It is sourced after common.sh and mongod.sh.
# shellcheck shell=bash disable=SC2034,SC2154 # Variables cross between it and the other files.

servers=(mongod nats-server)
declare -A port=([mongod]=${MELTD_TEST_MONGO_PORT:-27117}
  [nats-server]=${MELTD_TEST_NATS_PORT:-4322})
# Both are ready within a second on an idle machine; a busy one is given far longer.
declare -A start_wait_s=([mongod]=30 [nats-server]=10)
stop_wait_s=20
# A server that was killed a moment ago is gone from the process list before its port is free.
port_wait_s=2

dir_of() { echo "$target/services/$1-${port[$1]}"; }

# A pid alone proves nothing, since the system reuses them: the process has to be that program, and
# to work on our folder.
is_ours() { # <server> <pid>
  local words=()
  { mapfile -d '' -t words <"/proc/$2/cmdline"; } 2>/dev/null || return 1
  [[ ${words[0]-} == */"$1" && " ${words[*]} " == *" $(dir_of "$1")/data "* ]]
}

# Prints the pid of a server if it runs.
pid_of() { # <server>
  local pid
  pid=$(cat "$(dir_of "$1")/pid" 2>/dev/null) && is_ours "$1" "$pid" && echo "$pid"
}

# Finds our servers without their pid files: `cargo clean` removes those, and the data with them,
# and leaves the processes.
all_pids_of() { # <server>
  local proc
  for proc in /proc/[0-9]*; do
    if is_ours "$1" "${proc#/proc/}"; then echo "${proc#/proc/}"; fi
  done
}

port_taken() { (: <>"/dev/tcp/127.0.0.1/${port[$1]}") 2>/dev/null; } # <server>

# Waits until a server can be used; says why if it cannot.
ready() { # <server> <pid> <seconds to wait>
  local deadline=$((SECONDS + $3)) greeting
  if [[ $1 == mongod ]]; then
    python3 "$repo/scripts/lib/mongo-primary.py" "${port[$1]}" "$2" "$3"
    return
  fi
  while true; do
    greeting=$( (exec 3<>"/dev/tcp/127.0.0.1/${port[$1]}" && head -n 1 <&3) 2>/dev/null) || true
    if [[ $greeting == INFO*'"jetstream":true'* ]]; then return 0; fi
    if ! kill -0 "$2" 2>/dev/null; then echo "the process has ended" >&2 && return 1; fi
    if ((SECONDS >= deadline)); then echo "it offers no JetStream" >&2 && return 1; fi
    sleep 0.05
  done
}

launch() { # <server>
  local dir command deadline=$((SECONDS + port_wait_s))
  dir=$(dir_of "$1")
  while port_taken "$1"; do
    ((SECONDS < deadline)) || die "port ${port[$1]}, meant for $1, is in use by another program:" \
      "stop that one, or choose other ports with MELTD_TEST_MONGO_PORT and MELTD_TEST_NATS_PORT"
    sleep 0.05
  done
  if [[ $1 == mongod ]]; then
    need_mongod
    command=("$mongod" --replSet rs0 --bind_ip 127.0.0.1 --port "${port[$1]}" --nounixsocket
      --dbpath "$dir/data" --wiredTigerCacheSizeGB 0.25 --setParameter enableTestCommands=1)
  else
    command=("$(command -v nats-server)" --jetstream --addr 127.0.0.1 --port "${port[$1]}"
      --store_dir "$dir/data")
  fi
  # A fresh start gets a fresh log; after a crash the log goes on, with the crash still in it.
  if [[ ! -d $dir/data ]]; then rm -f "$dir.log"; fi
  mkdir -p "$dir/data"
  # In a session of its own, so that Ctrl-C on a test run does not reach it; without our lock.
  setsid "${command[@]}" >>"$dir.log" 2>&1 </dev/null 9>&- &
  echo $! >"$dir/pid"
}

stop() { # <server>
  local pid deadline=$((SECONDS + stop_wait_s))
  for pid in $(all_pids_of "$1"); do
    kill "$pid" 2>/dev/null || true
    while is_ours "$1" "$pid"; do
      if ((SECONDS >= deadline)); then kill -KILL "$pid" 2>/dev/null || true; fi
      sleep 0.05
    done
    say "stopped $1 (pid $pid)"
  done
}
