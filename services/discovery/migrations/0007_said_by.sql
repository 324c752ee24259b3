-- How many assets a scan said stands in its own row: an asset remembers the last scan only.
alter table asset drop column said_by;
