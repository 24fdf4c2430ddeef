# Sourced by ./check: Kryoptic as a shared library, built once for each state of hsm/kryoptic and kept outside the tree. $root is the clone.

has_cargo() { cargo --version >/dev/null 2>&1; }

# The folder with libclang, from which bindgen reads OpenSSL's headers.
libclang_folder() {
  local file
  for file in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*-linux-gnu/libclang*.so* /usr/lib64/libclang.so* /opt/homebrew/opt/llvm/lib/libclang.dylib; do
    case "$file" in *libclang-cpp*) continue ;; esac
    if [ -e "$file" ]; then dirname "$file"; return; fi
  done
}

# Sets TRENT_TEST_KRYOPTIC to the library's path.
need_kryoptic() {
  local from="$root/hsm/kryoptic" name=libkryoptic.so state kept target
  [ "$(uname)" = Darwin ] && name=libkryoptic.dylib
  state=$(cat "$from/Cargo.lock" "$from/Cargo.toml" "$from/lib.rs" | node -e 'process.stdin.pipe(require("crypto").createHash("sha256").setEncoding("hex")).pipe(process.stdout)' | cut -c1-16)
  kept="${HOME:-/tmp}/.cache/trent/kryoptic/$state"
  if ! [ -e "$kept/$name" ]; then
    has_cargo || stop 'Kryoptic is built by cargo, which is missing: install Rust (https://rustup.rs)'
    { [ -n "$(libclang_folder)" ] && command -v perl >/dev/null && command -v make >/dev/null; } ||
      need_system 'What Kryoptic is built with is missing' 'libclang-dev perl make gcc libc6-dev' 'llvm perl make gcc'
    say 'Building Kryoptic with its OpenSSL: some minutes, once'
    mkdir -p "$kept"
    target=$(mktemp -d)
    LIBCLANG_PATH=$(libclang_folder) cargo build --quiet --release --locked --manifest-path "$from/Cargo.toml" --target-dir "$target" >&2 ||
      stop 'Kryoptic could not be built (see above)'
    mv "$target/release/$name" "$kept/$name.new" && mv "$kept/$name.new" "$kept/$name"
    rm -rf "$target"
  fi
  export TRENT_TEST_KRYOPTIC="$kept/$name"
}
