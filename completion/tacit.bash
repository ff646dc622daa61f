# bash completion for the tools of tacit, under their installed names (tacit-train) and, sourced from the source
# tree, under those in bin/. Options and their choices are asked of the tool itself (--help-options), so they are
# always its own; this file adds only which files go where.

# _tacit_files EXTENSION...: folders, and files that end so (none given: all files)
_tacit_files() {
    local IFS=$'\n' pattern
    compopt -o filenames 2> /dev/null
    COMPREPLY=($(compgen -d -- "$current"))
    [ $# -gt 0 ] || set -- '*'
    for pattern; do
        COMPREPLY+=($(compgen -f -X "!*$pattern" -- "$current" | while read -r path; do [ -d "$path" ] || echo "$path"; done))
    done
}

# _tacit_value OPTION ARGUMENT: what an option takes that is not one of a few names
_tacit_value() {
    case $1:$2 in
    device:*) COMPREPLY=($(compgen -W "auto cpu cuda" -- "$current")) ;;
    prefix:*context) COMPREPLY=($(compgen -W "context" -- "$current")) ;;
    assignment:* | eval-assignment:*) _tacit_files .asg ;;
    baseline:*) _tacit_files .lp ;;
    eval:*) _tacit_files .tok ;;
    vocabulary:* | tokenizer:*) _tacit_files .json .tiktoken .model ;;
    model:FILE) _tacit_files .json ;;
    pattern:PATTERN) COMPREPLY=($(compgen -W "gpt2 starcoder2 cl100k llama3 qwen2 o200k r50k_base p50k_base cl100k_base o200k_base" -- "$current")) ;;
    filter:*) COMPREPLY=($(compgen -W "repeats code-frequency" -- "$current")) ;;
    *:CKPT) _tacit_files / ;;
    split:PATTERN | prior:* | *:FILE) _tacit_files '*' ;;
    esac
}

# _tacit_operand TOOL: what stands for FILE in its synopsis
_tacit_operand() {
    case $1 in
    tokenize) [[ " ${COMP_WORDS[*]} " == *" --decode "* ]] && _tacit_files .tok || _tacit_files '*' ;;
    train | route) _tacit_files .tok ;;
    assign) [[ " ${COMP_WORDS[*]} " == *" random "* || " ${COMP_WORDS[*]} " == *" label "* ]] &&
        _tacit_files .tok .scr .lp .asg || _tacit_files .scr ;;
    mix | ppl) _tacit_files .lp ;;
    *) _tacit_files .tok .scr .lp .wts .asg ;;
    esac
}

_tacit() {
    local command=${COMP_WORDS[0]} tool path options current previous name letter argument choices equals=
    local line=${COMP_LINE:0:COMP_POINT}
    COMPREPLY=()
    path=$(type -P -- "${command/#\~\//$HOME/}") || return 0
    tool=${path##*/}
    # Another program may have a name like route or view: ask only what stands beside the other tools.
    [[ $tool == tacit-* || (-x ${path%/*}/tokenize && -x ${path%/*}/assign) ]] || return 0
    tool=${tool#tacit-}
    options=$("$path" --help-options 2> /dev/null) || return 0

    current=${COMP_WORDS[COMP_CWORD]}
    previous=${COMP_WORDS[COMP_CWORD - 1]}
    # bash makes words of --name=value: --name, =, value
    if [ "$current" = = ]; then
        current= equals=1
    elif [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]} equals=1
    fi
    # The option that waits for a value, if any. Tabs are blanks to read, so they become something else.
    while IFS=$'\x1f' read -r name letter argument _ choices _; do
        [ "$previous" = "--$name" ] || [ -n "$letter" -a "$previous" = "-$letter" ] || continue
        [ -n "$argument" ] || break
        if [ -n "$choices" ]; then
            COMPREPLY=($(compgen -W "$choices" -- "$current"))
        elif [ "$name" = output ] && [ "$tool" = train ]; then
            _tacit_files /
        else
            _tacit_value "$name" "$argument"
        fi
        return 0
    done <<< "${options//$'\t'/$'\x1f'}"

    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$(cut -f 1 <<< "$options" | sed 's/^/--/')" -- "$current"))
    else
        _tacit_operand "$tool"
    fi
}

complete -F _tacit tacit-{assign,mix,ppl,route,shard,tokenize,train,view}
# The names in bin/ are too common to take over from an installed place.
if [ -d "${BASH_SOURCE[0]%/*}/../tools" ]; then
    complete -o bashdefault -F _tacit {,./}{,bin/}{assign,mix,ppl,route,shard,tokenize,train,view}
fi
