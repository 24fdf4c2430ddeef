-- How many AES-GCM invocations of a backing key have been leased to processes. A table of its own: its rows change often, and none of
-- those changes is the caches' business.
CREATE TABLE invocations (
  key_id text COLLATE "C" NOT NULL,
  material_id bytea NOT NULL,
  backing integer NOT NULL,
  leased bigint NOT NULL CHECK (leased > 0),
  PRIMARY KEY (key_id, material_id, backing),
  FOREIGN KEY (key_id, material_id, backing) REFERENCES materials ON DELETE CASCADE
);

ALTER TABLE intents DROP CONSTRAINT intents_kind_check;
ALTER TABLE intents ADD CONSTRAINT intents_kind_check CHECK (kind IN ('create-material', 'add-backing'));
-- One new backing key at a time for a material, however many gateways reach the bound at once.
CREATE UNIQUE INDEX intents_add_backing ON intents (key_id) WHERE kind = 'add-backing';
