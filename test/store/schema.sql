-- 0001-first
-- 0002-invocations
-- 0003-pin-latches
-- 0004-token-drains

CREATE TABLE access_keys
  id text NOT NULL
  account_id text NOT NULL
  user_id text
  status text NOT NULL DEFAULT 'Active'::text
  sealed_secret bytea NOT NULL
  service_key_version integer NOT NULL
  created_at timestamp with time zone NOT NULL DEFAULT now()
  CONSTRAINT access_keys_id_check CHECK ((id ~ '^AKIA[A-Z2-7]{16}$'::text))
  CONSTRAINT access_keys_status_check CHECK ((status = ANY (ARRAY['Active'::text, 'Inactive'::text])))
  CONSTRAINT access_keys_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id)
  CONSTRAINT access_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
  CONSTRAINT access_keys_pkey PRIMARY KEY (id)
  CREATE INDEX access_keys_user ON public.access_keys USING btree (user_id)
  CREATE TRIGGER cache AFTER INSERT OR DELETE OR UPDATE ON public.access_keys FOR EACH ROW EXECUTE FUNCTION notify_cache('access-key', 'id')
  CREATE TRIGGER cache_everything AFTER TRUNCATE ON public.access_keys FOR EACH STATEMENT EXECUTE FUNCTION notify_cache_everything()

CREATE TABLE accounts
  id text NOT NULL
  name text NOT NULL
  created_at timestamp with time zone NOT NULL DEFAULT now()
  CONSTRAINT accounts_id_check CHECK ((id ~ '^[0-9]{12}$'::text))
  CONSTRAINT accounts_pkey PRIMARY KEY (id)

CREATE TABLE aliases
  account_id text NOT NULL
  name text COLLATE "C" NOT NULL
  key_id text COLLATE "C" NOT NULL
  created_at timestamp with time zone NOT NULL DEFAULT now()
  updated_at timestamp with time zone NOT NULL DEFAULT now()
  CONSTRAINT aliases_name_check CHECK (((name ~ '^alias/[a-zA-Z0-9/_-]+$'::text) AND (length(name) <= 256)))
  CONSTRAINT aliases_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id)
  CONSTRAINT aliases_key_id_fkey FOREIGN KEY (key_id) REFERENCES keys(id) ON DELETE CASCADE
  CONSTRAINT aliases_pkey PRIMARY KEY (account_id, name)
  CREATE INDEX aliases_key ON public.aliases USING btree (key_id)
  CREATE TRIGGER cache AFTER INSERT OR DELETE OR UPDATE ON public.aliases FOR EACH ROW EXECUTE FUNCTION notify_cache('alias', 'account_id', 'name')
  CREATE TRIGGER cache_everything AFTER TRUNCATE ON public.aliases FOR EACH STATEMENT EXECUTE FUNCTION notify_cache_everything()

CREATE TABLE audit_batches
  writer uuid NOT NULL
  first bigint NOT NULL
  last bigint NOT NULL
  first_time timestamp with time zone NOT NULL
  last_time timestamp with time zone NOT NULL
  records bytea NOT NULL
  accounts text[] NOT NULL
  event_names text[] NOT NULL
  key_ids text[] NOT NULL
  principals text[] NOT NULL
  request_ids text[] NOT NULL
  CONSTRAINT audit_batches_check CHECK ((last >= first))
  CONSTRAINT audit_batches_pkey PRIMARY KEY (writer, first)
  CREATE INDEX audit_batches_time ON public.audit_batches USING btree (last_time)

CREATE TABLE domain
  singleton boolean NOT NULL DEFAULT true
  id uuid NOT NULL
  state text NOT NULL
  fingerprint text
  created_at timestamp with time zone NOT NULL DEFAULT now()
  CONSTRAINT domain_check CHECK (((state = 'ready'::text) = (fingerprint IS NOT NULL)))
  CONSTRAINT domain_fingerprint_check CHECK ((fingerprint ~ '^[0-9a-f]{64}$'::text))
  CONSTRAINT domain_singleton_check CHECK (singleton)
  CONSTRAINT domain_state_check CHECK ((state = ANY (ARRAY['creating'::text, 'ready'::text])))
  CONSTRAINT domain_pkey PRIMARY KEY (singleton)
  CONSTRAINT domain_id_key UNIQUE (id)

CREATE TABLE domain_versions
  version integer NOT NULL
  recovery_fingerprint text
  recovery_domain_key bytea
  recovery_integrity_key bytea
  canary_row bytea NOT NULL
  canary_mac bytea NOT NULL
  canary_ciphertext bytea NOT NULL
  created_at timestamp with time zone NOT NULL DEFAULT now()
  CONSTRAINT domain_versions_canary_mac_check CHECK ((length(canary_mac) = 32))
  CONSTRAINT domain_versions_version_check CHECK ((version > 0))
  CONSTRAINT domain_versions_pkey PRIMARY KEY (version)

CREATE TABLE intents
  id uuid NOT NULL
  kind text NOT NULL
  key_id text COLLATE "C" NOT NULL
  payload jsonb NOT NULL
  claimed_until timestamp with time zone NOT NULL
  created_at timestamp with time zone NOT NULL DEFAULT now()
  CONSTRAINT intents_kind_check CHECK ((kind = ANY (ARRAY['create-material'::text, 'add-backing'::text])))
  CONSTRAINT intents_key_id_fkey FOREIGN KEY (key_id) REFERENCES keys(id)
  CONSTRAINT intents_pkey PRIMARY KEY (id)
  CREATE UNIQUE INDEX intents_add_backing ON public.intents USING btree (key_id) WHERE (kind = 'add-backing'::text)

CREATE TABLE invocations
  key_id text COLLATE "C" NOT NULL
  material_id bytea NOT NULL
  backing integer NOT NULL
  leased bigint NOT NULL
  CONSTRAINT invocations_leased_check CHECK ((leased > 0))
  CONSTRAINT invocations_key_id_material_id_backing_fkey FOREIGN KEY (key_id, material_id, backing) REFERENCES materials(key_id, material_id, backing) ON DELETE CASCADE
  CONSTRAINT invocations_pkey PRIMARY KEY (key_id, material_id, backing)

CREATE TABLE key_policies
  key_id text COLLATE "C" NOT NULL
  document text NOT NULL
  CONSTRAINT key_policies_key_id_fkey FOREIGN KEY (key_id) REFERENCES keys(id) ON DELETE CASCADE
  CONSTRAINT key_policies_pkey PRIMARY KEY (key_id)
  CREATE TRIGGER cache AFTER INSERT OR DELETE OR UPDATE ON public.key_policies FOR EACH ROW EXECUTE FUNCTION notify_cache('key', 'key_id')
  CREATE TRIGGER cache_everything AFTER TRUNCATE ON public.key_policies FOR EACH STATEMENT EXECUTE FUNCTION notify_cache_everything()

CREATE TABLE keys
  id text COLLATE "C" NOT NULL
  account_id text NOT NULL
  region text NOT NULL
  spec text NOT NULL
  usage text NOT NULL
  origin text NOT NULL
  state text NOT NULL
  description text NOT NULL DEFAULT ''::text
  multi_region boolean NOT NULL DEFAULT false
  manager text NOT NULL DEFAULT 'CUSTOMER'::text
  created_at timestamp with time zone NOT NULL DEFAULT now()
  deletion_date timestamp with time zone
  current_material_id bytea
  CONSTRAINT keys_current_material_id_check CHECK ((length(current_material_id) = 32))
  CONSTRAINT keys_id_check CHECK ((id ~ '^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$'::text))
  CONSTRAINT keys_manager_check CHECK ((manager = ANY (ARRAY['AWS'::text, 'CUSTOMER'::text])))
  CONSTRAINT keys_state_check CHECK ((state = ANY (ARRAY['Creating'::text, 'Enabled'::text, 'Disabled'::text, 'PendingDeletion'::text, 'PendingImport'::text, 'PendingReplicaDeletion'::text, 'Unavailable'::text, 'Updating'::text])))
  CONSTRAINT keys_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id)
  CONSTRAINT keys_pkey PRIMARY KEY (id)
  CREATE INDEX keys_account ON public.keys USING btree (account_id, id)
  CREATE TRIGGER cache AFTER INSERT OR DELETE OR UPDATE ON public.keys FOR EACH ROW EXECUTE FUNCTION notify_cache('key', 'id')
  CREATE TRIGGER cache_everything AFTER TRUNCATE ON public.keys FOR EACH STATEMENT EXECUTE FUNCTION notify_cache_everything()

CREATE TABLE materials
  key_id text COLLATE "C" NOT NULL
  material_id bytea NOT NULL
  backing integer NOT NULL DEFAULT 1
  cipher_mode text NOT NULL
  residency text NOT NULL
  cka_id bytea NOT NULL
  domain_id uuid
  domain_version integer
  spki bytea
  blob bytea
  mac bytea
  created_at timestamp with time zone NOT NULL DEFAULT now()
  CONSTRAINT materials_backing_check CHECK ((backing > 0))
  CONSTRAINT materials_cipher_mode_check CHECK ((cipher_mode = ANY (ARRAY['direct'::text, 'derived'::text, 'none'::text])))
  CONSTRAINT materials_cka_id_check CHECK ((length(cka_id) = 16))
  CONSTRAINT materials_mac_check CHECK ((length(mac) = 32))
  CONSTRAINT materials_material_id_check CHECK ((length(material_id) = 32))
  CONSTRAINT materials_residency_check CHECK ((residency = ANY (ARRAY['wrapped'::text, 'resident'::text])))
  CONSTRAINT materials_key_id_fkey FOREIGN KEY (key_id) REFERENCES keys(id)
  CONSTRAINT materials_pkey PRIMARY KEY (key_id, material_id, backing)
  CREATE TRIGGER cache AFTER INSERT OR DELETE OR UPDATE ON public.materials FOR EACH ROW EXECUTE FUNCTION notify_cache('key', 'key_id')
  CREATE TRIGGER cache_everything AFTER TRUNCATE ON public.materials FOR EACH STATEMENT EXECUTE FUNCTION notify_cache_everything()

CREATE TABLE migrations
  id integer NOT NULL DEFAULT nextval('migrations_id_seq'::regclass)
  name character varying(255) NOT NULL
  run_on timestamp without time zone NOT NULL
  CONSTRAINT migrations_pkey PRIMARY KEY (id)

CREATE TABLE pin_latches
  serial text NOT NULL
  version integer NOT NULL
  label text NOT NULL
  state text NOT NULL
  permit text NOT NULL DEFAULT 'usual'::text
  attempt uuid NOT NULL
  host text NOT NULL
  place text NOT NULL
  processes integer[] NOT NULL
  since timestamp with time zone NOT NULL
  until timestamp with time zone
  reason text
  unresolved integer NOT NULL DEFAULT 0
  good_at timestamp with time zone
  cleared_at timestamp with time zone
  CONSTRAINT pin_latches_check CHECK (((state = 'attempting'::text) = (until IS NOT NULL)))
  CONSTRAINT pin_latches_check1 CHECK (((state = 'latched'::text) = (reason IS NOT NULL)))
  CONSTRAINT pin_latches_permit_check CHECK ((permit = ANY (ARRAY['usual'::text, 'count-low'::text, 'final-try'::text])))
  CONSTRAINT pin_latches_serial_check CHECK ((length(serial) <= 16))
  CONSTRAINT pin_latches_state_check CHECK ((state = ANY (ARRAY['attempting'::text, 'good'::text, 'latched'::text, 'permitted'::text])))
  CONSTRAINT pin_latches_version_check CHECK ((version > 0))
  CONSTRAINT pin_latches_pkey PRIMARY KEY (serial, version)

CREATE TABLE service_keys
  purpose text NOT NULL
  version integer NOT NULL
  row bytea NOT NULL
  mac bytea NOT NULL
  created_at timestamp with time zone NOT NULL DEFAULT now()
  CONSTRAINT service_keys_mac_check CHECK ((length(mac) = 32))
  CONSTRAINT service_keys_version_check CHECK ((version > 0))
  CONSTRAINT service_keys_pkey PRIMARY KEY (purpose, version)

CREATE TABLE tags
  key_id text COLLATE "C" NOT NULL
  tag_key text NOT NULL
  tag_value text NOT NULL
  position bigint NOT NULL GENERATED ALWAYS AS IDENTITY
  CONSTRAINT tags_key_id_fkey FOREIGN KEY (key_id) REFERENCES keys(id) ON DELETE CASCADE
  CONSTRAINT tags_pkey PRIMARY KEY (key_id, tag_key)
  CREATE TRIGGER cache AFTER INSERT OR DELETE OR UPDATE ON public.tags FOR EACH ROW EXECUTE FUNCTION notify_cache('key', 'key_id')
  CREATE TRIGGER cache_everything AFTER TRUNCATE ON public.tags FOR EACH STATEMENT EXECUTE FUNCTION notify_cache_everything()

CREATE TABLE token_drains
  label text NOT NULL
  since timestamp with time zone NOT NULL DEFAULT now()
  CONSTRAINT token_drains_pkey PRIMARY KEY (label)

CREATE TABLE user_policies
  user_id text NOT NULL
  name text NOT NULL
  document text NOT NULL
  CONSTRAINT user_policies_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
  CONSTRAINT user_policies_pkey PRIMARY KEY (user_id, name)
  CREATE TRIGGER cache AFTER INSERT OR DELETE OR UPDATE ON public.user_policies FOR EACH ROW EXECUTE FUNCTION notify_cache('user', 'user_id')
  CREATE TRIGGER cache_everything AFTER TRUNCATE ON public.user_policies FOR EACH STATEMENT EXECUTE FUNCTION notify_cache_everything()

CREATE TABLE users
  id text NOT NULL
  account_id text NOT NULL
  name text NOT NULL
  path text NOT NULL DEFAULT '/'::text
  created_at timestamp with time zone NOT NULL DEFAULT now()
  CONSTRAINT users_id_check CHECK ((id ~ '^AIDA[A-Z2-7]{17}$'::text))
  CONSTRAINT users_name_check CHECK (((length(name) >= 1) AND (length(name) <= 64)))
  CONSTRAINT users_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id)
  CONSTRAINT users_pkey PRIMARY KEY (id)
  CREATE UNIQUE INDEX users_name ON public.users USING btree (account_id, lower(name))
  CREATE TRIGGER cache AFTER INSERT OR DELETE OR UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION notify_cache('user', 'id')
  CREATE TRIGGER cache_everything AFTER TRUNCATE ON public.users FOR EACH STATEMENT EXECUTE FUNCTION notify_cache_everything()

CREATE OR REPLACE FUNCTION public.notify_cache()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
END $function$

CREATE OR REPLACE FUNCTION public.notify_cache_everything()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  PERFORM pg_notify('trent_cache', 'everything');
  RETURN NULL;
END $function$

