//! A few articles that the bot answers from on local pages such as `/demo`, for tenants that have ingested nothing of their own.
//!
//! They are in a database in memory, apart from every tenant's: nothing of them is stored, and a backend has them only where
//! `Backend::with_demo_knowledge` was called. The one-process deployment calls it on a laptop (`service::laptop`) unless `demo_page` is
//! false; `chat-relay backend` never does.

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};
use uuid::Uuid;
use wire::TenantId;

use super::{
    bot::{self, Reply},
    records::documents::{self, NewDocument},
    store::{OfTenant, STEPS, StoreError},
};

/// The articles.
#[derive(Clone, Debug)]
pub(crate) struct DemoKnowledge(DatabaseConnection);

/// Whose articles these are, in the database in memory: no tenant's id.
const OWNER: TenantId = TenantId::from_uuid(Uuid::nil());

/// Title, language, text. They say what a shop's bot would say. None of them states a fact that a real shop would have to give, such as a phone number.
const ARTICLES: [(&str, &str, &str); 10] = [
    (
        "Orders",
        "en",
        "Where is your order? This shop is a demo, so there is none to look up. In a real shop I would answer: follow your order \
         with the tracking link in the e-mail that confirmed it. A change or a cancellation is possible until it is sent.",
    ),
    (
        "Delivery",
        "en",
        "Delivery takes two to four days, in this shop that does not exist. When a parcel is shipped, an e-mail says when it will arrive. \
         Shipping is free from 50 euros.",
    ),
    (
        "Returns and refunds",
        "en",
        "You can return an article or exchange it within 30 days, in its packaging. The refund, your money back, comes within \
         five days after the return has arrived.",
    ),
    (
        "Opening hours",
        "en",
        "Our shop, which is made up, is open from Monday to Saturday. The opening hours are 9 am to 6 pm, and it is closed on Sunday.",
    ),
    (
        "How this demo works",
        "en",
        "This demo chat answers from five short articles: the bot looks for the words of your question, and shows where its \
         answer is from. What it does not know goes to a person, with a ticket. It works with your own words as soon as you \
         ingest some, and then forgets these articles.",
    ),
    (
        "Commandes",
        "fr",
        "Où est votre commande ? Cette boutique est une démonstration : il n'y a pas de commande à chercher. Une vraie boutique \
         répondrait ici : suivez votre commande avec le lien de suivi dans l'e-mail de confirmation. Modifier ou annuler est \
         possible jusqu'à l'expédition.",
    ),
    (
        "Livraison",
        "fr",
        "La livraison prend deux à quatre jours, dans cette boutique qui n'existe pas. Quand votre colis est expédié, un \
         e-mail dit quand il sera livré et quand il arrive. La livraison est gratuite dès 50 euros.",
    ),
    (
        "Retours et remboursements",
        "fr",
        "Vous pouvez retourner un article ou l'échanger sous 30 jours, dans son emballage. Pour être remboursé, comptez cinq jours \
         après l'arrivée du retour.",
    ),
    (
        "Horaires d'ouverture",
        "fr",
        "Notre boutique de démonstration est ouverte du lundi au samedi. Les horaires d'ouverture sont de 9 h à 18 h ; elle est \
         fermée le dimanche.",
    ),
    (
        "Comment marche cette démo",
        "fr",
        "Cette démo répond à partir de cinq courts articles : le bot cherche les mots de votre question et montre d'où vient sa \
         réponse. Ce qu'il ne sait pas va à une personne, avec un ticket. La démo marche avec vos propres textes dès que vous en \
         ajoutez, et oublie alors ceux-ci.",
    ),
];

impl DemoKnowledge {
    /// Opens the database in memory, and ingests the articles as a tenant's would be.
    pub(crate) async fn open() -> Result<Self, StoreError> {
        let mut options = ConnectOptions::new("sqlite::memory:");
        // The database is as old as its one connection: it must never be closed for being idle or old.
        options.min_connections(1).max_connections(1).idle_timeout(None).max_lifetime(None).sqlx_logging(false);
        let connection = Database::connect(options).await?;
        for step in STEPS {
            connection.execute_unprepared(step).await?;
        }
        for (title, language, body) in ARTICLES {
            let new = NewDocument {
                title: title.to_owned(),
                body: body.to_owned(),
                category: "general".to_owned(),
                language: language.to_owned(),
                url: None,
                tags: Vec::new(),
            };
            documents::insert(&OfTenant::new(&connection, OWNER), new).await?;
        }
        Ok(Self(connection))
    }

    /// What the bot replies from the articles alone.
    pub(crate) async fn reply(&self, message: &str) -> Result<Reply, StoreError> {
        bot::reply(&OfTenant::new(&self.0, OWNER), message).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handling::WaitingReason;

    #[tokio::test]
    async fn what_a_visitor_of_the_demo_asks_is_answered() {
        let demo = DemoKnowledge::open().await.expect("it opens");
        for (question, title) in [
            ("Where is my order?", "Orders"),
            ("Can I cancel my order?", "Orders"),
            ("When will my parcel arrive?", "Delivery"),
            ("Is shipping free?", "Delivery"),
            ("How do I return an article?", "Returns and refunds"),
            ("I want a refund", "Returns and refunds"),
            ("What are your opening hours?", "Opening hours"),
            ("Are you open on Sunday?", "Opening hours"),
            ("How does this demo work?", "How this demo works"),
            ("Où est ma commande ?", "Commandes"),
            ("Quand mon colis arrive-t-il ?", "Livraison"),
            ("Comment retourner un article ?", "Retours et remboursements"),
            ("Quels sont vos horaires ?", "Horaires d'ouverture"),
            ("Comment marche la démo ?", "Comment marche cette démo"),
        ] {
            match demo.reply(question).await.expect("a reply") {
                Reply::Answer(answer) => assert_eq!(answer.citations[0].title, title, "{question}"),
                other => panic!("{question}: {other:?}"),
            }
        }
        let unknown = demo.reply("Do you repair zeppelins?").await.expect("a reply");
        assert!(matches!(unknown, Reply::HandOver { reason: WaitingReason::LowConfidence, .. }), "{unknown:?}");
    }
}
