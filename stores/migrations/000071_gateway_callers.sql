-- The process of the API that waits for a request, by the number of the lock that it holds; null in what a version before has opened.
alter table gateway_requests add column caller integer;
