# What the Makefile promises beside the tools themselves.
load helpers

# make as the suite was made, without its options
tree() {
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$root" --no-print-directory BUILD="$build" BIN="$bin" "$@"
}

@test "make install: tools under DESTDIR and PREFIX with the prefix tacit-, and they run from there" {
    tree install DESTDIR="$T/stage" PREFIX=/opt/tacit
    local there=$T/stage/opt/tacit tool
    assert_equal "$(ls "$there/bin")" "$(ls "$root/tools" | sed 's/^/tacit-/')"
    for tool in $(ls "$root/tools"); do
        assert_equal "$("$there/bin/tacit-$tool" --version)" "$("$tool" --version)"
    done
    printf 'the river carries the sand' |
        "$there/bin/tacit-tokenize" -q -t "$golden/tokenizer/tokenizer.json" --length 8 | "$there/bin/tacit-view" --check
    [ -s "$there/share/doc/tacit/formats.md" ] && [ -s "$there/share/doc/tacit/README.md" ]
    assert_equal "$(ls "$T/stage")" opt # nothing beside PREFIX
}

@test "make help: every target and variable that the README names" {
    run tree help
    assert_exit 0
    local word
    for word in "make deps" "make test" "make asan" "make install" "make clean" "make smalltalk" "make ablate-random" \
        "ARCH=" "CUDA=" "V=1"; do
        assert_line "$word"
    done
}

@test "make: a finished build has nothing left to do" {
    run tree -q all unit
    assert_exit 0
}

@test "make: what an object depends on is known by whatever name its folder goes" {
    case $build in "$root"/*) ;; *) skip "the build is elsewhere" ;; esac
    for folder in "$build" "${build#"$root/"}"; do
        run tree BUILD="$folder" -n -W lib/text/vocabulary_private.h all
        assert_exit 0
        assert_line lib/text/vocabulary_json.c
    done
}

@test "make deps: a missing package is named with the command that installs it" {
    run bash "$root/build-aux/deps" --check gcc:gcc libnothing-dev:nothing/nothing.h
    assert_exit 1
    assert_equal "$output" "deps: missing: libnothing-dev; run 'make deps' or: apt-get install -y --no-install-recommends libnothing-dev"
    run bash "$root/build-aux/deps" --check gcc:gcc zstd:no-such-command # what only tests need stops no build
    assert_exit 0
    run bash "$root/build-aux/deps" --check gcc:gcc
    assert_exit 0
    assert_equal "$output" ""
}

@test "layers: no file of the library includes one from above or beside its layer" {
    allowed() {
        case $1 in
        base) echo base ;;
        stream) echo base stream ;;
        kernels) echo base kernels ;;
        text) echo base text ;;
        model) echo base kernels model ;;
        esac
    }
    local layer included bad=
    for layer in base stream kernels text model; do
        for included in $(grep -rhoE '#include "[a-z]+/' "$root/lib/$layer" | sed 's/.*"//; s|/||' | sort -u); do
            [ "$included" = cpu ] || grep -qw "$included" <<<"$(allowed $layer)" || bad+=" $layer->$included"
        done
    done
    assert_equal "$bad" ""
    run grep -rn "ifdef TACIT_CUDA\|cuda_runtime" "$root/lib/model"
    assert_exit 1
}
