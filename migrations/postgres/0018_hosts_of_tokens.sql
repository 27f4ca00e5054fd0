-- The one host that an agent's token reports for: said when it was made, or by its first report.
ALTER TABLE api_tokens ADD COLUMN host TEXT;
