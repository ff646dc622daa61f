# make install: what lands under DESTDIR and PREFIX is whole, works from there, and goes away again.
load helpers

# make as the suite was made, without its options
tree() {
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$root" --no-print-directory BUILD="$build" BIN="$bin" "$@"
}

setup_file() {
    load helpers
    tree install DESTDIR="$BATS_FILE_TMPDIR/a stage" PREFIX=/opt/tacit > /dev/null
}

setup() {
    T=$BATS_TEST_TMPDIR
    cd "$T"
    stage="$BATS_FILE_TMPDIR/a stage"
    there=$stage/opt/tacit
}

@test "install: manual pages are found by man, one for every tool" {
    command -v man > /dev/null || skip "man is not installed"
    local tool
    for tool in $(ls "$root/tools"); do
        run man -M "$there/share/man" "tacit-$tool"
        assert_exit 0
        assert_line "$("$tool" --help | head -1 | sed 's/.* - //' | cut -c1-30)"
    done
    run man -M "$there/share/man" 5 tacit-formats
    assert_exit 0
    assert_line "XXH3-128"
    run man -M "$there/share/man" tacit
    assert_exit 0
    run man -M "$there/share/man" -k random
    [ -z "$(find "$stage" -perm /022 ! -type l)" ] # nobody else may write
}

@test "install: completion is where bash looks for it, under every installed name" {
    local tool
    for tool in $(ls "$root/tools"); do
        run env PATH="$there/bin:$PATH" bash -c '
            source "$1/tacit-$2"
            COMP_WORDS=("tacit-$2" --vers) COMP_CWORD=1 COMP_LINE="tacit-$2 --vers" COMP_POINT=${#COMP_LINE}
            complete -p "tacit-$2" && _tacit && echo "${COMPREPLY[@]}"' - "$there/share/bash-completion/completions" "$tool"
        assert_exit 0
        assert_line "complete -F _tacit tacit-$tool"
        assert_line "--version"
    done
}

@test "install: a program of ten lines opens a stream through pkg-config" {
    command -v pkg-config > /dev/null || skip "pkg-config is not installed"
    [ "$(grep -c fsanitize "$build/flags")" = 0 ] || skip "the library is sanitized, the program is not"
    cat > count.c <<'END'
#include <base/error.h>
#include <stdio.h>
#include <stream/stream.h>

int main(int argc, char **argv) {
    struct stream *s;
    int code = stream_open(&s, argc > 1 ? argv[1] : NULL, 1u << STREAM_TOKENS);
    struct record r;
    unsigned long n = 0;
    for (bool got = true; code == OK && (code = stream_next(s, &r, &got)) == OK && got;)
        n += r.count;
    if (code == OK)
        printf("%lu tokens\n", n);
    else
        fprintf(stderr, "count: %s\n", error_message());
    return code;
}
END
    # the staged prefix instead of the configured one, as a packager's sysroot does
    ln -s "$there" staged
    export PKG_CONFIG_PATH=$T/staged/lib/pkgconfig
    assert_equal "$(pkg-config --modversion tacit)" "$(view --version | sed -n 's/^library: //p')"
    assert_equal "$(pkg-config --variable=prefix tacit)" /opt/tacit
    gcc -std=c11 -Wall -Werror count.c $(pkg-config --define-variable=prefix="$T/staged" --cflags --libs tacit) -o count
    printf 'the river carries the sand' | tokenize -q -t "$golden/tokenizer/tokenizer.json" --length 8 -o a.tok
    assert_equal "$(./count a.tok)" "$(view --json a.tok | jq '.tokens | length' | awk '{ n += $1 } END { print n " tokens" }')"
    run ./count "$T/count.c"
    assert_exit 3
    assert_equal "$output" "count: $T/count.c: header at byte 0: not a stream, but text; tokenize makes a token stream of it"
}

@test "install: every installed header compiles by itself, from C as other programs write it" {
    local header
    for header in $(cd "$there/include/tacit" && find . -name '*.h' | sort); do
        echo "#include <${header#./}>" > one.c
        gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -I "$there/include/tacit" one.c
    done
}

@test "install: help and errors name the tools as they are installed" {
    run "$there/bin/tacit-route" --help
    assert_line "Usage: tacit-route -m CKPT"
    assert_line "  tacit-route -m router.0 -m router.1 --prefix 32 chunk.tok | tacit-assign --method balanced -o chunk.asg"
    assert_line "See also: tacit-train, tacit-assign, tacit-mix, tacit-ppl"
    run "$there/bin/tacit-route" --nonsense
    assert_equal "$output" "route: unknown option '--nonsense'; try 'tacit-route --help'"
    run route --help
    assert_no_line "tacit-"
}

@test "uninstall: takes away what install put there, and nothing else" {
    tree install DESTDIR="$T/s" PREFIX=/usr > /dev/null
    touch s/usr/bin/other s/usr/share/man/man1/other.1 s/usr/lib/other.a
    tree uninstall DESTDIR="$T/s" PREFIX=/usr
    assert_equal "$(find s ! -type d | sort | xargs)" "s/usr/bin/other s/usr/lib/other.a s/usr/share/man/man1/other.1"
}
