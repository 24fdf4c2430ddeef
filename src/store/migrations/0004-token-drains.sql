-- Tokens that are to take no calls, on any host, until they are given back: maintenance of an HSM.
CREATE TABLE token_drains (
  label text PRIMARY KEY,
  since timestamptz NOT NULL DEFAULT now()
);
