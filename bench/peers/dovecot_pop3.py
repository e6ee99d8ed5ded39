"""Dovecot's POP3 as a peer of our store, set up as integrations/dovecot does: the same directory, the same Maildirs."""

DEFAULT = """
ssl = no
disable_plaintext_auth = no
auth_verbose = no
service auth {
  client_limit = 20000
}
service anvil {
  client_limit = 20000
}
"""
# What Dovecot's own documents advise for many sessions, and its cache of credentials as we have ours.
TUNED = DEFAULT + """
auth_cache_size = 64 M
auth_cache_ttl = 1 hour
service pop3-login {
  service_count = 0
  process_min_avail = 2
  client_limit = 20000
}
service pop3 {
  service_count = 1000
  process_min_avail = 20
  process_limit = 4096
}
"""
# The same, asking the directory at each login.
TUNED_WITHOUT_CACHE = TUNED + """
auth_cache_size = 0
"""
