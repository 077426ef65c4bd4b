-- Tasks of our own proof of work whose solution was used; kept until their end, after which they are refused anyway.
CREATE TABLE captcha_spent (
    task TEXT PRIMARY KEY,
    expires BIGINT NOT NULL
);
CREATE INDEX captcha_spent_expires ON captcha_spent (expires);
