-- `looked`: how far the last scan looked into an asset's values: none, statistics, sample.
alter table asset alter sampled type text using case when sampled then 'sample' else 'none' end;
alter table asset rename sampled to looked;
