# frozen_string_literal: true

# How a client's check in Ruby tells its results; README.md has the words that drivers.sh reads.
# The first failure ends the program.
module Checks
  CLIENTS = 8
  ROUNDS = 40

  module_function

  def expect(what, expected, found)
    raise "#{what}: expected #{short(expected)}, found #{short(found)}" unless expected == found
  end

  def short(value)
    value.inspect[0, 300]
  end

  def check(name)
    yield
    puts "ok #{name}"
  rescue Exception => error
    puts error.full_message(highlight: false)
    puts "FAILED #{name}: #{error.message.lines.first}"
    exit 1
  end
end
