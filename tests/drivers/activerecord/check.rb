# frozen_string_literal: true

# ActiveRecord with its defaults: named prepared statements, up to 1,000 a connection; SETs right
# after the login; a session's advisory lock around migrations.

require 'active_record'
require 'pg'
require_relative '../lib/checks'
include Checks

$stdout.sync = true
# All is in the environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSFILE.
ActiveRecord::Base.establish_connection(adapter: 'postgresql', database: ENV.fetch('PGDATABASE'), pool: CLIENTS)
ActiveRecord::Base.logger = nil
ActiveRecord::Migration.verbose = false

class Author < ActiveRecord::Base
  has_many :books
end

class Book < ActiveRecord::Base
  belongs_to :author
end

class MakeTables < ActiveRecord::Migration[6.1]
  def change
    create_table(:authors) { |table| table.string :name, null: false, index: { unique: true } }
    create_table(:books) do |table|
      table.references :author, foreign_key: true
      table.string :title
      table.jsonb :more
      table.timestamps
    end
  end
end

def connection
  ActiveRecord::Base.connection
end

def migrate(direction)
  migrations = [MakeTables.new('MakeTables', 1)]
  schema = ActiveRecord::SchemaMigration
  ActiveRecord::Migrator.new(direction, migrations, schema).migrate
end

puts "version #{ActiveRecord.version} (pg #{PG::VERSION})"

check('a migration, which takes an advisory lock and releases it') do
  migrate(:up)
  held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
  expect('locks afterwards', 0, connection.select_value(held))
end

check('a migration, and its tables') do
  expect('tables', true, connection.table_exists?(:books))
  expect('version', [1], ActiveRecord::SchemaMigration.all_versions.map(&:to_i))
end

check('objects, a join, and a lookup in JSON') do
  20.times do |n|
    author = Author.create!(name: "author #{n} ü✓")
    5.times { |i| author.books.create!(title: "book #{n}.#{i}", more: { 'n' => n, 'i' => i }) }
  end
  found = Author.includes(:books).order(:id).map { |author| [author.name, author.books.sort_by(&:id).map(&:more)] }
  expected = Array.new(20) { |n| ["author #{n} ü✓", Array.new(5) { |i| { 'n' => n, 'i' => i } }] }
  expect('objects', expected, found)
  expect('a lookup', ['book 7.3'], Book.where("more @> ?", { n: 7, i: 3 }.to_json).pluck(:title))
  expect('found by many statements', 20, (0...20).count { |n| Author.find_by(name: "author #{n} ü✓") })
end

check('a prepared statement follows its client to both server connections') do
  holders = Array.new(2) { PG.connect }
  holders.each { |holder| holder.exec('BEGIN; SELECT 1') }
  sql = 'SELECT $1::int * 2 AS double, pg_backend_pid() AS pid'
  holders.each do |holder|
    free = holder.exec('SELECT pg_backend_pid()').getvalue(0, 0).to_i
    holder.exec('ROLLBACK')
    3.times do |n|
      found = connection.exec_query(sql, 'SQL', [[nil, n]], prepare: true).first
      expect('on the only free server', { 'double' => n * 2, 'pid' => free }, found)
    end
    holder.exec('BEGIN; SELECT 1')
  end
  holders.each(&:close)
end

check('a rollback, a nested transaction, and an error inside') do
  10.times do |n|
    Author.transaction do
      Author.create!(name: "gone #{n}")
      raise ActiveRecord::Rollback
    end
    Author.transaction do
      Author.create!(name: "kept #{n}")
      begin
        Author.transaction(requires_new: true) { Author.create!(name: "kept #{n}") }
      rescue ActiveRecord::RecordNotUnique
        Author.create!(name: "kept too #{n}")
      end
    end
  end
  expect('rows', [0, 20], [Author.where("name LIKE 'gone%'").count, Author.where("name LIKE 'kept%'").count])
end

check('insert_all and find_each of 2,000 rows') do
  Author.insert_all(Array.new(2000) { |n| { name: "many #{n}" } })
  names = []
  Author.where("name LIKE 'many%'").find_each(batch_size: 300) { |author| names << author.name }
  expect('names', Array.new(2000) { |n| "many #{n}" }, names)
end

check('8 threads read their own rows') do
  servers = Queue.new
  threads = Array.new(CLIENTS) do |client|
    Thread.new do
      ActiveRecord::Base.connection_pool.with_connection do |own|
        ROUNDS.times do |n|
          mark = "client #{client} round #{n}"
          own.transaction do
            row = own.exec_query('SELECT $1::text AS mark, pg_backend_pid() AS pid', 'SQL', [[nil, mark]], prepare: true).first
            again = own.select_value('SELECT pg_backend_pid() FROM pg_sleep(0.001)')
            expect('its mark and its server', [mark, again], [row['mark'], row['pid']])
            servers << again
          end
        end
      end
    end
  end
  threads.each(&:join)
  seen = Array.new(servers.size) { servers.pop }
  expect('rows', CLIENTS * ROUNDS, seen.size)
  expect("at most 2 server connections of #{seen.uniq}", true, seen.uniq.size <= 2)
end

check('COPY and a cancel by the pg gem') do
  client = PG.connect
  client.exec('CREATE TABLE copied (n int)')
  client.copy_data('COPY copied FROM STDIN') { 1000.times { |n| client.put_copy_data("#{n}\n") } }
  expect('sum', '499500', client.exec('SELECT sum(n) FROM copied').getvalue(0, 0))
  client.send_query('SELECT pg_sleep(60)')
  sleep 0.3
  client.cancel
  state = begin
    client.get_last_result
  rescue PG::QueryCanceled => error
    error.result.error_field(PG::PG_DIAG_SQLSTATE)
  end
  expect('the cancel', '57014', state)
  expect('afterwards', '5', client.exec_params('SELECT $1::int', [5]).getvalue(0, 0))
  client.close
end

puts 'done'
