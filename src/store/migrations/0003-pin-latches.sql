-- What has been learnt of each version of a token's PIN (hsm.tokens[].pinVersion), by serial number: so that a wrong one is tried
-- once, by whatever host. Never the PIN nor anything derived from it.
CREATE TABLE pin_latches (
  serial text NOT NULL CHECK (length(serial) <= 16),
  version integer NOT NULL CHECK (version > 0),
  label text NOT NULL,
  -- attempting: a login is under way, or its process ended without saying how it went. permitted: unlatched by an operator.
  state text NOT NULL CHECK (state IN ('attempting', 'good', 'latched', 'permitted')),
  -- The worst that the token may say of its PIN before the login that an operator permitted.
  permit text NOT NULL DEFAULT 'usual' CHECK (permit IN ('usual', 'count-low', 'final-try')),
  attempt uuid NOT NULL,
  host text NOT NULL,
  -- Where process ids mean the same, and those of the attempt: the primary or command, and its hsm-agent.
  place text NOT NULL,
  processes integer[] NOT NULL,
  since timestamptz NOT NULL,
  -- When an attempt is over at the latest: its agent has been killed by then.
  until timestamptz,
  reason text,
  -- Attempts in a row whose end nobody saw.
  unresolved integer NOT NULL DEFAULT 0,
  good_at timestamptz,
  cleared_at timestamptz,
  PRIMARY KEY (serial, version),
  CHECK ((state = 'attempting') = (until IS NOT NULL)),
  CHECK ((state = 'latched') = (reason IS NOT NULL))
);
