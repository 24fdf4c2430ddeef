# Sourced by ./dev, ./trent and ./check: what they need on this machine, installed where it is missing. Says what it does on stderr, for
# stdout belongs to the command that follows. $root is the clone.

say() { printf '%s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

need_node() {
  command -v node >/dev/null || stop 'Node.js is missing: install 20.19 or newer (https://nodejs.org)'
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    stop "Node.js $(node --version) is too old: install 20.19 or newer"
}

# The native addon builds against local headers where they are, so that nothing is fetched but packages.
need_packages() {
  local installed="$root/node_modules/.package-lock.json" prefix
  [ -e "$installed" ] && ! [ "$root/package-lock.json" -nt "$installed" ] && return
  prefix=$(node -p 'require("path").dirname(require("path").dirname(process.execPath))')
  if [ -e "$prefix/include/node/node_api.h" ]; then export npm_config_nodedir="$prefix"; fi
  say 'Installing npm packages'
  (cd "$root" && npm ci --strict-allow-scripts --no-audit --no-fund >&2) || stop 'npm ci failed (see above)'
  touch "$installed"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_system WHY APT-PACKAGES BREW-PACKAGES
need_system() {
  local why="$1" apt="$2" brew="$3"
  if command -v apt-get >/dev/null; then
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
      stop "$why. There is no sudo here: have an administrator run apt-get install $apt"
    fi
    say "$why: installing $apt"
    # shellcheck disable=SC2086 # a list of names
    { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $apt; } >&2 ||
      stop "$why, and apt-get could not install $apt (see above)"
  elif command -v brew >/dev/null; then
    say "$why: installing $brew"
    # shellcheck disable=SC2086
    brew install --quiet $brew >&2 || stop "$why, and brew could not install $brew (see above)"
  else
    stop "$why. There is neither apt-get nor brew here: install $apt by your system's own means"
  fi
}

found() { local path; for path in "$@"; do if [ -e "$path" ]; then return 0; fi; done; return 1; }

has_softhsm() {
  found /usr/lib/softhsm/libsofthsm2.so /usr/lib64/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so \
    /usr/lib/*-linux-gnu/softhsm/libsofthsm2.so /usr/local/lib/softhsm/libsofthsm2.so /opt/homebrew/lib/softhsm/libsofthsm2.so
}

has_compiler() { command -v make >/dev/null && command -v g++ >/dev/null && command -v python3 >/dev/null; }

has_nss() { found /usr/lib/*-linux-gnu/libsoftokn3.so /usr/lib/*-linux-gnu/nss/libsoftokn3.so /usr/lib64/libsoftokn3.so /opt/homebrew/opt/nss/lib/libsoftokn3.dylib; }

# The addon pkcs11js is compiled when npm packages are installed.
need_token() {
  has_softhsm || need_system 'SoftHSM is missing' softhsm2 softhsm
  [ -e "$root/node_modules/.package-lock.json" ] || has_compiler || need_system 'A C++ compiler is missing' 'make g++ python3' 'make gcc python3'
}

need_build() {
  local stamp="$root/dist/.built"
  if [ -e "$stamp" ] && [ -z "$(find "$root/src" "$root/build" "$root/tsconfig.json" "$root/package.json" -newer "$stamp" -print -quit)" ]; then return; fi
  say 'Building'
  (cd "$root" && npm run --silent build >&2) || stop 'The build failed (see above)'
}
