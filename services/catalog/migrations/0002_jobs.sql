-- Tags that a job calls for, of itself and of what it runs on.
ALTER TABLE tag_set ADD COLUMN job text NOT NULL DEFAULT '';
CREATE INDEX tag_set_by_job ON tag_set (job) WHERE job <> '';
