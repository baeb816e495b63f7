# What zsh offers for a line that is begun: zsh -f offers.zsh FOLDER LINE FILE
#
# FOLDER has the completions; FILE gets a word per line. zsh completes on a terminal only, so another
# one is run on one of its own.
zmodload zsh/zpty
zpty inner zsh -f -i
enter() {
    # Quoted so that what is read is the output, and not the command itself.
    zpty -w inner "$1; print do''ne"
    zpty -r inner _ '*done*'
}
enter "fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -D -u"
enter "out=${(q)3}; compadd() {
    local -a found
    builtin compadd -O found \"\$@\"
    (( \$#found )) && print -rl -- \$found >> \$out
    builtin compadd \"\$@\"
}"
enter "offer() { zle complete-word; print do''ne }; zle -N offer; bindkey '^T' offer"
zpty -w -n inner "$2"$'\C-t'
zpty -r inner _ '*done*'
zpty -d inner
