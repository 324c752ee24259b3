-- Tier 3: texts that an asset's open columns ask for (words of their names), and the text of a reviewed column, which becomes an example.
-- The vectors are in the table `meaning`, which is there only where the extension `vector` is (see Meanings in store.py).
alter table asset add column asked text[] not null default '{}';
create index asset_asked on asset using gin (asked) where asked <> '{}';
alter table review add column meaning text not null default '';
