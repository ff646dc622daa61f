# tokenize: ids of documents made at random are those of the libraries (golden/vocabularies/fuzz.py and schemes.py,
# which run long by hand). Needs a python with tokenizers, tiktoken and sentencepiece, named by TACIT_PYTHON.

load helpers

data=${TACIT_DATA:-$root/../shared/data}/vocab

# check SCRIPT COUNT VOCABULARY...
check() {
    [ -n "${TACIT_PYTHON:-}" ] &&
        "$TACIT_PYTHON" -c 'import numpy, regex, sentencepiece, tiktoken, tokenizers' 2>/dev/null ||
        skip "TACIT_PYTHON names no python with numpy, regex, sentencepiece, tiktoken and tokenizers"
    PYTHONDONTWRITEBYTECODE=1 "$TACIT_PYTHON" "$golden/vocabularies/$1" --count "${@:2}"
}

@test "tokenize: ids of documents at random are the libraries' under what the vocabularies in use ask for" {
    mapfile -t names < <(jq -r 'keys[]' "$golden/vocabularies/shapes.json")
    names+=("$golden/vocabularies/ranks.tiktoken:"{gpt2,cl100k,o200k})
    check fuzz.py 1000 "${names[@]}" "$golden/sentencepiece/"*.model
}

@test "tokenize: ids of documents at random are the libraries' under real vocabularies" {
    shopt -s nullglob
    local files=("$data"/*_base.tiktoken "$data"/*.json "$data"/*.model)
    [ ${#files[@]} -gt 0 ] || skip "no vocabularies in $data (TACIT_DATA)"
    check fuzz.py 2000 "${files[@]}"
}

@test "tokenize: ids are the libraries' under vocabularies of schemes at random" {
    check schemes.py 200
}
