"""Hold the scripts by which shells ask c10k for completions.

Click answers: it reads COMP_WORDS and COMP_CWORD where `_C10K_COMPLETE` is set, and prints the type
and the value of each completion. The scripts run the command as it was typed, so c10k need not be
on PATH.
"""

from __future__ import annotations

# An option and its value may be one word (`--profile=quick`); click answers with the value alone.
# Bash breaks words at the characters of COMP_WORDBREAKS, such as `=`, and replaces only the last
# part ($2), so the script removes the parts before it from the answers.
BASH = r"""_c10k_completion() {
    local line=${COMP_LINE:0:COMP_POINT} answer
    local word=${line##*[[:space:]]}
    local cut=${word%"$2"}
    local -a words answers
    read -ra words <<< "$line"
    local place=${#words[@]}
    [[ -n $word ]] && ((place--))
    mapfile -t answers < <(env COMP_WORDS="$line" COMP_CWORD="$place" \
        _C10K_COMPLETE=bash_complete "$1")
    COMPREPLY=()
    for answer in "${answers[@]}"; do
        case $answer in
        dir,*) compopt -o dirnames ;;
        file,*) compopt -o default ;;
        plain,*)
            answer=${answer#plain,}
            COMPREPLY+=("${answer#"$cut"}")
            ;;
        esac
    done
}
complete -o nosort -F _c10k_completion c10k
"""

ZSH = r"""#compdef c10k
_c10k_completion() {
    local -a answers plain described
    local kind value text option=
    answers=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) \
        _C10K_COMPLETE=zsh_complete ${words[1]})}")
    [[ $PREFIX == --*=* ]] && option=${PREFIX%%=*}=
    for kind value text in "${answers[@]}"; do
        case $kind in
        dir) _path_files -/ ;;
        file) _path_files -f ;;
        plain)
            if [[ $text == _ ]]; then
                plain+=("$option$value")
            else
                described+=("$option$value:$text")
            fi
            ;;
        esac
    done
    ((${#described})) && _describe -V c10k described -U
    ((${#plain})) && compadd -U -V c10k -a plain
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _c10k_completion "$@"
else
    compdef _c10k_completion c10k
fi
"""

FISH = r"""function __c10k_completion
    set -l typed (commandline -opc)
    set -l answers (env COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -ct) \
        _C10K_COMPLETE=fish_complete $typed[1])
    set -l option (string match --regex -- '^--[^=]*=' (commandline -ct))
    for answer in $answers
        set -l parts (string split -m 1 , -- $answer)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo "$option$parts[2]"
        end
    end
end
complete --no-files --command c10k --arguments '(__c10k_completion)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
