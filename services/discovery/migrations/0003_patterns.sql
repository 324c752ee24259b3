-- The patterns of the rule set in force, name to pattern: every instance looks for them.
create table pattern (
    one boolean primary key default true check (one),
    told json not null
);
