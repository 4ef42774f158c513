# `just` lists the recipes. Each is one command that you can type without just.

_list:
    @{{ just_executable() }} --list

# The checks that need no test: format, lints, dependencies
check:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    PATH="$PATH:tests/.venv/bin" cargo deny --locked check licenses bans sources

# Every check and every test; --no-install installs nothing, --long runs crashes, races and scale at full size
test *arguments:
    tests/run {{ arguments }}

# The relay, the admin service and the reference chat backend in one process
run *arguments:
    cargo run --release -- {{ arguments }}

# What a signed call costs beside a plain proxy
load *arguments:
    tests/load {{ arguments }}

# Formats the code, and applies what clippy suggests
fix:
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
    cargo fmt --all
