#!/usr/bin/env bats
# kill -9 costs time, never the result: a small campaign (make kill-campaign is the long one).

load helpers

@test "every stage killed twice at random moments ends in the same files with the same content" {
    "$root/test/made-up-corpus" "$T/corpus"
    # the report names the version, which a commit meanwhile would change
    run "$root/test/kill-campaign" 2 "$T" PRESET=quick CORPUS="$T/corpus" DEVICE=cpu BIN="$bin" BUILD="$build" \
        VERSION="$(cat "$build/version")"
    assert_exit 0
    assert_line "kills: the same files with the same content"
    [ "$(grep -c 'killed [12] times' <<< "$output")" -ge 24 ]
}
