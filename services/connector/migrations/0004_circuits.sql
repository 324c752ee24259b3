-- Circuits are in a schema of their own, because discovery's dials count too. What was open is closed once by that.
alter table source drop column circuit, drop column attempts, drop column retries, drop column retries_at, drop column open_until;
