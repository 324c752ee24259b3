-- Columns of an asset that nobody looked into, as lines of count, reason and type; see counting.skipped.
alter table asset add column skipped text not null default '';
