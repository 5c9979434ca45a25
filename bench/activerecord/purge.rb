# What a Rails application does with expired mails: for each organization,
# destroy its mails in batches of 50, callbacks and dependents and all.
#
#   ruby purge.rb in_batches|destroy_all 'YYYY-MM-DD HH:MM:SS.UUUUUU'
#
# The time (UTC) is the one that retentions count from. libpq's PG* variables
# name the database. It prints {"seconds": …}.
require "active_record"
require "json"

class Organization < ActiveRecord::Base
  has_many :domains
end

class Domain < ActiveRecord::Base
  belongs_to :organization
  has_many :outgoing_emails
end

class OutgoingEmail < ActiveRecord::Base
  belongs_to :domain
  has_many :recipients, dependent: :destroy
  has_many :attachments, dependent: :destroy
  has_many :headers, dependent: :destroy
  has_many :opens, dependent: :destroy
  has_many :clicks, dependent: :destroy
  has_many :bounces, dependent: :destroy
  has_many :tags, dependent: :destroy
  has_many :webhook_events, dependent: :destroy
end

class Recipient < ActiveRecord::Base
  belongs_to :outgoing_email
  has_many :deliveries, dependent: :destroy
end

class Delivery < ActiveRecord::Base
  belongs_to :recipient
  has_many :responses, dependent: :destroy
end

class Response < ActiveRecord::Base
  belongs_to :delivery
end

%w[Attachment Header Open Click Bounce Tag WebhookEvent].each do |name|
  Object.const_set(name, Class.new(ActiveRecord::Base) { belongs_to :outgoing_email })
end

how, base = ARGV
base = Time.find_zone!("UTC").parse(base)
ActiveRecord::Base.establish_connection(adapter: "postgresql")

# Columns are looked up once in an application's lifetime.
[Organization, Domain, OutgoingEmail, Recipient, Delivery, Response, Attachment, Header, Open, Click, Bounce, Tag, WebhookEvent].each(&:columns)

started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
Organization.find_each do |organization|
  expired = OutgoingEmail.where(domain: organization.domains).where("created_at < ?", base - organization.retention_days.days)
  how == "destroy_all" ? expired.destroy_all : expired.in_batches(of: 50).destroy_all
end
seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - started
puts JSON.generate(seconds: seconds)
