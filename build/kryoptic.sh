# Sourced by ./check: Kryoptic as a shared library, built once for each state of hsm/kryoptic and kept outside the tree. $root is the clone.

# 1.85 or newer: Kryoptic is of Rust's edition of 2024, and Debian 12's own cargo cannot read the lock file.
has_cargo() { cargo --version 2>/dev/null | awk '{ split($2, v, "."); exit !(v[1] > 1 || v[2] >= 85) }'; }

# The folder with libclang, by which bindgen reads OpenSSL's headers; its own headers come with Debian's libclang-dev.
libclang_folder() {
  local file
  for file in /usr/lib/llvm-*/lib/libclang.so /usr/lib64/libclang.so /opt/homebrew/opt/llvm/lib/libclang.dylib; do
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
    has_cargo || stop 'Kryoptic is built by cargo 1.85 or newer, which is missing: install Rust (https://rustup.rs)'
    { [ -n "$(libclang_folder)" ] && perl -MFindBin -MIPC::Cmd -e1 2>/dev/null && has_compiler; } ||
      need_system 'What Kryoptic is built with is missing' 'libclang-dev perl make g++ python3' 'llvm perl make gcc'
    say 'Building Kryoptic with its OpenSSL: some minutes, once'
    mkdir -p "$kept"
    target=$(mktemp -d)
    if ! LIBCLANG_PATH=$(libclang_folder) cargo build --quiet --release --locked --manifest-path "$from/Cargo.toml" --target-dir "$target" >&2; then
      rm -rf "$target"
      stop 'Kryoptic could not be built (see above)'
    fi
    mv "$target/release/$name" "$kept/$name.new"
    mv "$kept/$name.new" "$kept/$name"
    rm -rf "$target"
  fi
  export TRENT_TEST_KRYOPTIC="$kept/$name"
}
