-- `paced` counts the changes of a scan's pace, `pace` holds the last of them, of all attempts.
alter table scan
    add paced integer not null default 0,
    add pace jsonb not null default '[]';
