-- What a person said of one column holds for its likes: `words` is its name as one word, `alike` the digest of what makes a column its like.
alter table review add column words text not null default '', add column alike text not null default '';
create index review_words on review (words) where alike <> '';
