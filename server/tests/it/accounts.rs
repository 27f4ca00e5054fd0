//! Signing in and out, links, users and tokens.

use chrono::TimeDelta;
use salvor::accounts::service;
use salvor_domain::account::{Actor, Role};

on_both_engines! {
    async fn a_session_ends_by_rest_by_age_and_by_hand(app: &TestApp) {
        app.add_user("ann@example.com", Role::Operator).await;
        let open = async || {
            service::sign_in(&app.core, " Ann@Example.com", crate::support::PASSWORD).await.unwrap().unwrap()
        };
        let holds = async |session: &str| service::session_holder(&app.core, session).await.unwrap().is_some();

        let session = open().await;
        assert!(holds(&session).await);
        service::sign_out(&app.core, &session).await.unwrap();
        assert!(!holds(&session).await);

        let idle = open().await;
        app.advance(service::IDLE + TimeDelta::seconds(1));
        assert!(!holds(&idle).await);

        let old = open().await;
        for _ in 0..14 {
            app.advance(TimeDelta::hours(11));
            assert!(holds(&old).await, "each use keeps it awake");
        }
        app.advance(TimeDelta::hours(15));
        assert!(!holds(&old).await, "but not for ever");
    }

    async fn a_link_signs_in_once_and_the_first_admin_gets_one_until_somebody_has_a_password(app: &TestApp) {
        let link = service::first_link(&app.core).await.unwrap().unwrap();
        let secret = link.strip_prefix("http://salvor.test/console/link/").unwrap();
        assert!(service::link_holds(&app.core, secret).await.unwrap());
        let session = service::sign_in_by_link(&app.core, secret).await.unwrap().unwrap();
        assert!(!service::link_holds(&app.core, secret).await.unwrap());
        assert_eq!(service::sign_in_by_link(&app.core, secret).await.unwrap(), None);

        let viewer = service::session_holder(&app.core, &session).await.unwrap().unwrap();
        assert!(viewer.needs_password && viewer.role == Role::Admin);

        let again = service::first_link(&app.core).await.unwrap().unwrap();
        app.advance(TimeDelta::hours(25));
        let secret = again.rsplit_once('/').unwrap().1;
        assert_eq!(service::sign_in_by_link(&app.core, secret).await.unwrap(), None, "too old");

        let unused = service::first_link(&app.core).await.unwrap().unwrap();
        service::set_password(&app.core, &viewer.email, crate::support::PASSWORD, None).await.unwrap();
        let secret = unused.rsplit_once('/').unwrap().1;
        assert_eq!(service::sign_in_by_link(&app.core, secret).await.unwrap(), None, "the password is set");
        assert_eq!(service::first_link(&app.core).await.unwrap(), None);
    }

    async fn a_disabled_user_is_out_at_once(app: &TestApp) {
        app.add_user("ann@example.com", Role::Operator).await;
        let sign_in =
            async || service::sign_in(&app.core, "ann@example.com", crate::support::PASSWORD).await.unwrap();
        let session = sign_in().await.unwrap();
        service::disable_user(&app.core, &Actor::salvor(), "ann@example.com").await.unwrap();
        assert_eq!(service::session_holder(&app.core, &session).await.unwrap(), None);
        assert_eq!(sign_in().await, None);
        let again =
            service::add_user(&app.core, &Actor::salvor(), "ann@example.com", Role::Viewer, "long enough").await;
        assert!(again.unwrap_err().to_string().contains("already"));
    }

    async fn a_token_holds_until_it_expires_or_is_revoked(app: &TestApp) {
        let (_, token) =
            service::create_token(&app.core, &Actor::salvor(), "deploy", Role::Operator, None, Some(TimeDelta::days(1)))
                .await
                .unwrap();
        assert!(token.starts_with("salvor_"));
        let holder = service::token_holder(&app.core, &token).await.unwrap().unwrap();
        assert_eq!((holder.name.as_str(), holder.role), ("token:deploy", Role::Operator));
        app.advance(TimeDelta::days(1));
        assert_eq!(service::token_holder(&app.core, &token).await.unwrap(), None);

        let token = app.token(Role::Viewer).await;
        let name = &service::tokens(&app.core).await.unwrap().into_iter().find(|t| t.role == Role::Viewer).unwrap().name;
        service::revoke_token(&app.core, &Actor::salvor(), name).await.unwrap();
        assert_eq!(service::token_holder(&app.core, &token).await.unwrap(), None);
    }
}
