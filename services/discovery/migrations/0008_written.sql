-- How many rows were written to an asset when it was looked at, as its server counts them; 0 where it does not tell.
alter table asset add column written bigint not null default 0;
