-- What a person calls a table in its database, in letters that are compared. What was heard before is folded as far as SQL can.
ALTER TABLE asset ADD COLUMN place text NOT NULL DEFAULT '';
UPDATE asset SET place = replace(replace(replace(
    lower(CASE schema_name WHEN '/' THEN '' ELSE schema_name || '.' END || table_name), 'ß', 'ss'), 'ς', 'σ'), 'µ', 'μ') WHERE NOT removed;
