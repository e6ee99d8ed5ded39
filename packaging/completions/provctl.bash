# bash completion for provctl(1). Install as /usr/share/bash-completion/completions/provctl.
# cli/documents_test.py holds it against the program.

_provctl_options() {
  local global="--help --config --server --ca --certificate --key -o --output --timeout --wait --dry-run --request-id -q --quiet"
  case $1 in
    "") echo "--version $global" ;;
    add-user) echo "$global --name --quota --plan --label --pool --ftp --web --web-name --no-mail --password-stdin --no-password" ;;
    list-users) echo "$global --filter --domain --limit --show-deleted" ;;
    update-user) echo "$global --name --quota --plan --label --clear-labels --web-name --clear-web-names --may-use" ;;
    set-password) echo "$global --password-stdin" ;;
    set-forward) echo "$global --keep-copy --none" ;;
    import) echo "$global --format --rejects --sync --max-removals" ;;
    export) echo "$global --filter --format --show-deleted" ;;
    evict-host | revoke-certificate) echo "$global --reason" ;;
    enrol-host) echo "$global --pool --lifetime" ;;
    inspect-host) echo "$global --repair" ;;
    ban-host) echo "$global --reason --yes" ;;
    issue-certificate) echo "$global --out" ;;
    list-certificates) echo "$global --identity --limit" ;;
    suspend-user) echo "$global --reason --at" ;;
    resume-user | delete-user) echo "$global --at" ;;
    list-scheduled | list-members) echo "$global --limit" ;;
    purge-user) echo "$global --yes" ;;
    add-domain) echo "$global --suspended-mail --alias-of --catch-all" ;;
    update-domain) echo "$global --suspended-mail --alias-of --no-alias --catch-all --no-catch-all" ;;
    add-list) echo "$global --owner --name --posting --pool" ;;
    update-list) echo "$global --owner --name --posting" ;;
    list-lists) echo "$global --filter --limit" ;;
    add-member | remove-member) echo "$global --from" ;;
    approve) echo "$global --changes --for" ;;
    add-pool) echo "$global --role --weight" ;;
    add-host | update-host) echo "$global --pool --weight" ;;
    update-pool) echo "$global --weight" ;;
    move-mailbox) echo "$global --to" ;;
    list-moves) echo "$global --all" ;;
    queue) echo "$global --recipient --recipient-domain --sender --all --yes --limit" ;;
    trace) echo "$global --since --host --limit" ;;
    audit) echo "$global --resource --caller --since --limit --all --head --from" ;;
    history) echo "$global --limit --all" ;;
    watch) echo "$global --after" ;;
    *) echo "$global" ;;
  esac
}

_provctl() {
  local commands="add-user show-user list-users update-user set-password add-alias remove-alias set-forward import export
    suspend-user resume-user delete-user undelete-user purge-user list-scheduled cancel-scheduled add-domain show-domain
    list-domains update-domain delete-domain add-list show-list list-lists update-list delete-list add-member
    remove-member list-members add-pool list-pools update-pool delete-pool add-host list-hosts show-host update-host
    drain-host undrain-host delete-host inspect-host move-mailbox list-moves show-move cancel-move queue trace enrol-host evict-host
    ban-host issue-certificate list-certificates revoke-certificate directory approve list-stopped wait status whoami why audit history watch"
  local with_value=" --config --server --ca --certificate --key -o --output --timeout --request-id --name --quota --plan
    --label --pool --filter --domain --limit --may-use --reason --suspended-mail --alias-of --catch-all --role --weight
    --resource --caller --since --head --from --format --rejects --sync --max-removals --after --lifetime --identity
    --out --at --owner --posting --changes --for --to --web-name
    --recipient --recipient-domain --sender --host "
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command="" i
  with_value=${with_value//$'\n'/ }
  COMPREPLY=()

  case $previous in
    --out)
      mapfile -t COMPREPLY < <(compgen -d -- "$current")
      return
      ;;
    issue-certificate)
      if [[ $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "billing helpdesk operator auditor" -- "$current")
        return
      fi
      ;;
    --config | --ca | --certificate | --key | --rejects)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
    -o | --output)
      mapfile -t COMPREPLY < <(compgen -W "table json" -- "$current")
      return
      ;;
    --format)
      mapfile -t COMPREPLY < <(compgen -W "ndjson csv" -- "$current")
      return
      ;;
    --role)
      mapfile -t COMPREPLY < <(compgen -W "relay store outbound list pop-proxy ftp web" -- "$current")
      return
      ;;
    --suspended-mail)
      mapfile -t COMPREPLY < <(compgen -W "keep reject defer" -- "$current")
      return
      ;;
    --posting)
      mapfile -t COMPREPLY < <(compgen -W "members owners anyone" -- "$current")
      return
      ;;
    --from)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
    --may-use)
      mapfile -t COMPREPLY < <(compgen -W "mail ftp web none" -- "$current")
      return
      ;;
  esac
  [[ $with_value == *" $previous "* ]] && return

  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ $with_value == *" ${COMP_WORDS[i]} "* ]]; then
      ((i++))
    elif [[ ${COMP_WORDS[i]} != -* ]]; then
      command=${COMP_WORDS[i]}
      break
    fi
  done

  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_provctl_options "$command")" -- "$current")
  elif [[ $command == directory && $previous == directory ]]; then
    mapfile -t COMPREPLY < <(compgen -W "verify repair rebuild" -- "$current")
  elif [[ $command == import ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  elif [[ $command == audit && $previous == audit ]]; then
    mapfile -t COMPREPLY < <(compgen -W "list verify" -- "$current")
  elif [[ $command == queue && $previous == queue ]]; then
    mapfile -t COMPREPLY < <(compgen -W "show hold release drop flush" -- "$current")
  elif [[ -z $command ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
  fi
}

complete -F _provctl provctl
