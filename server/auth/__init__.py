"""Who may call what: API keys and JSON Web Tokens, scopes, rates, and the record of what admins did."""
