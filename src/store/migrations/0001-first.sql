-- Metadata only: no key material, no plaintext, no secret stands in any column. bytea columns named row/mac/blob hold rows
-- authenticated by the HSM (keys/material.ts) and keys wrapped or sealed under it.

CREATE TABLE accounts (
  id text PRIMARY KEY CHECK (id ~ '^[0-9]{12}$'),
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- One domain a database. Written before the ceremony touches the token ('creating') and confirmed after it.
CREATE TABLE domain (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  id uuid NOT NULL UNIQUE,
  state text NOT NULL CHECK (state IN ('creating', 'ready')),
  fingerprint text CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((state = 'ready') = (fingerprint IS NOT NULL))
);

CREATE TABLE domain_versions (
  version integer PRIMARY KEY CHECK (version > 0),
  -- Both keys, each wrapped by RSA-OAEP to the recovery key; null where init was told --no-recovery.
  recovery_fingerprint text,
  recovery_domain_key bytea,
  recovery_integrity_key bytea,
  canary_row bytea NOT NULL,
  canary_mac bytea NOT NULL CHECK (length(canary_mac) = 32),
  canary_ciphertext bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Trent's own keys (sealing of access-key secrets, later sessions and audit), wrapped under the domain key.
CREATE TABLE service_keys (
  purpose text NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  row bytea NOT NULL,
  mac bytea NOT NULL CHECK (length(mac) = 32),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (purpose, version)
);

CREATE TABLE users (
  id text PRIMARY KEY CHECK (id ~ '^AIDA[A-Z2-7]{17}$'),
  account_id text NOT NULL REFERENCES accounts,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
  path text NOT NULL DEFAULT '/',
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_name ON users (account_id, lower(name));

CREATE TABLE user_policies (
  user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
  name text NOT NULL,
  document text NOT NULL,
  PRIMARY KEY (user_id, name)
);

-- An access key belongs to a user, or, with user_id null, to the account's root user.
CREATE TABLE access_keys (
  id text PRIMARY KEY CHECK (id ~ '^AKIA[A-Z2-7]{16}$'),
  account_id text NOT NULL REFERENCES accounts,
  user_id text REFERENCES users ON DELETE CASCADE,
  status text NOT NULL DEFAULT 'Active' CHECK (status IN ('Active', 'Inactive')),
  sealed_secret bytea NOT NULL,
  service_key_version integer NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX access_keys_user ON access_keys (user_id);

-- Key ids and alias names are compared by bytes (COLLATE "C"): pages keep their order whatever locale the database has, and a
-- new libc cannot break an index.
CREATE TABLE keys (
  id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$'),
  account_id text NOT NULL REFERENCES accounts,
  region text NOT NULL,
  spec text NOT NULL,
  usage text NOT NULL,
  origin text NOT NULL,
  state text NOT NULL CHECK (state IN
    ('Creating', 'Enabled', 'Disabled', 'PendingDeletion', 'PendingImport', 'PendingReplicaDeletion', 'Unavailable', 'Updating')),
  description text NOT NULL DEFAULT '',
  multi_region boolean NOT NULL DEFAULT false,
  manager text NOT NULL DEFAULT 'CUSTOMER' CHECK (manager IN ('AWS', 'CUSTOMER')),
  created_at timestamptz NOT NULL DEFAULT now(),
  deletion_date timestamptz,
  current_material_id bytea CHECK (length(current_material_id) = 32)
);
CREATE INDEX keys_account ON keys (account_id, id);

-- What is not here stands in keys (account, Region, spec, usage, origin): the row that the MAC covers is put together from
-- both, so an edit in either table gives a refused key. mac null: not confirmed, see intents. No cascade here nor from intents:
-- a key cannot be deleted while the database is all that knows of its object in the HSM.
CREATE TABLE materials (
  key_id text COLLATE "C" NOT NULL REFERENCES keys,
  material_id bytea NOT NULL CHECK (length(material_id) = 32),
  backing integer NOT NULL DEFAULT 1 CHECK (backing > 0),
  cipher_mode text NOT NULL CHECK (cipher_mode IN ('direct', 'derived', 'none')),
  residency text NOT NULL CHECK (residency IN ('wrapped', 'resident')),
  cka_id bytea NOT NULL CHECK (length(cka_id) = 16),
  domain_id uuid,
  domain_version integer,
  spki bytea,
  blob bytea,
  mac bytea CHECK (length(mac) = 32),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (key_id, material_id, backing)
);

CREATE TABLE key_policies (
  key_id text COLLATE "C" PRIMARY KEY REFERENCES keys ON DELETE CASCADE,
  document text NOT NULL
);

CREATE TABLE aliases (
  account_id text NOT NULL REFERENCES accounts,
  name text COLLATE "C" NOT NULL CHECK (name ~ '^alias/[a-zA-Z0-9/_-]+$' AND length(name) <= 256),
  key_id text COLLATE "C" NOT NULL REFERENCES keys ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (account_id, name)
);
CREATE INDEX aliases_key ON aliases (key_id);

-- position keeps insertion order: ListResourceTags shows it, and an updated tag keeps its place.
CREATE TABLE tags (
  key_id text COLLATE "C" NOT NULL REFERENCES keys ON DELETE CASCADE,
  tag_key text NOT NULL,
  tag_value text NOT NULL,
  position bigint GENERATED ALWAYS AS IDENTITY,
  PRIMARY KEY (key_id, tag_key)
);

-- The database knows of an HSM object before it exists and until after it is gone. Intents only roll forward.
CREATE TABLE intents (
  id uuid PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('create-material')),
  key_id text COLLATE "C" NOT NULL REFERENCES keys,
  payload jsonb NOT NULL,
  -- The process that works on it, and until when the others leave it alone.
  claimed_until timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- One row a batch of records; the arrays are for look-up, gzip holds the records as JSON lines.
CREATE TABLE audit_batches (
  writer uuid NOT NULL,
  first bigint NOT NULL,
  last bigint NOT NULL CHECK (last >= first),
  first_time timestamptz NOT NULL,
  last_time timestamptz NOT NULL,
  records bytea NOT NULL,
  accounts text[] NOT NULL,
  event_names text[] NOT NULL,
  key_ids text[] NOT NULL,
  principals text[] NOT NULL,
  request_ids text[] NOT NULL,
  PRIMARY KEY (writer, first)
);
CREATE INDEX audit_batches_time ON audit_batches (last_time);

-- Invalidation. One notification on channel trent_cache for each entry that a change touches, 'kind key': what cache/ drops.
-- The first trigger argument is the kind, the others the columns of its key. Old and new row both count, so a row that moves
-- drops the entry it left as well. Postgres delivers notifications after the commit is visible and in the order of commits.
CREATE FUNCTION notify_cache() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  changed jsonb;
  entry text;
BEGIN
  FOREACH changed IN ARRAY ARRAY[to_jsonb(OLD), to_jsonb(NEW)] LOOP
    CONTINUE WHEN changed IS NULL;
    SELECT string_agg(changed ->> c.name, ' ' ORDER BY c.place) INTO entry
    FROM unnest(TG_ARGV[1:]) WITH ORDINALITY AS c(name, place);
    PERFORM pg_notify('trent_cache', TG_ARGV[0] || ' ' || entry);
  END LOOP;
  RETURN NULL;
END $$;

CREATE TRIGGER cache AFTER INSERT OR UPDATE OR DELETE ON keys FOR EACH ROW EXECUTE FUNCTION notify_cache('key', 'id');
CREATE TRIGGER cache AFTER INSERT OR UPDATE OR DELETE ON materials FOR EACH ROW EXECUTE FUNCTION notify_cache('key', 'key_id');
CREATE TRIGGER cache AFTER INSERT OR UPDATE OR DELETE ON key_policies FOR EACH ROW EXECUTE FUNCTION notify_cache('key', 'key_id');
CREATE TRIGGER cache AFTER INSERT OR UPDATE OR DELETE ON tags FOR EACH ROW EXECUTE FUNCTION notify_cache('key', 'key_id');
CREATE TRIGGER cache AFTER INSERT OR UPDATE OR DELETE ON aliases FOR EACH ROW EXECUTE FUNCTION notify_cache('alias', 'account_id', 'name');
CREATE TRIGGER cache AFTER INSERT OR UPDATE OR DELETE ON access_keys FOR EACH ROW EXECUTE FUNCTION notify_cache('access-key', 'id');
-- By user, not by each of the user's access keys: a key inserted by a transaction that has not committed yet could not be seen
-- here, and would keep the old policies once it has.
CREATE TRIGGER cache AFTER INSERT OR UPDATE OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION notify_cache('user', 'id');
CREATE TRIGGER cache AFTER INSERT OR UPDATE OR DELETE ON user_policies FOR EACH ROW EXECUTE FUNCTION notify_cache('user', 'user_id');

-- TRUNCATE fires no row triggers: an operator who empties a table by it empties the caches too.
CREATE FUNCTION notify_cache_everything() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('trent_cache', 'everything');
  RETURN NULL;
END $$;

CREATE TRIGGER cache_everything AFTER TRUNCATE ON keys EXECUTE FUNCTION notify_cache_everything();
CREATE TRIGGER cache_everything AFTER TRUNCATE ON materials EXECUTE FUNCTION notify_cache_everything();
CREATE TRIGGER cache_everything AFTER TRUNCATE ON key_policies EXECUTE FUNCTION notify_cache_everything();
CREATE TRIGGER cache_everything AFTER TRUNCATE ON tags EXECUTE FUNCTION notify_cache_everything();
CREATE TRIGGER cache_everything AFTER TRUNCATE ON aliases EXECUTE FUNCTION notify_cache_everything();
CREATE TRIGGER cache_everything AFTER TRUNCATE ON access_keys EXECUTE FUNCTION notify_cache_everything();
CREATE TRIGGER cache_everything AFTER TRUNCATE ON users EXECUTE FUNCTION notify_cache_everything();
CREATE TRIGGER cache_everything AFTER TRUNCATE ON user_policies EXECUTE FUNCTION notify_cache_everything();
